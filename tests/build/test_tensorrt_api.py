"""The code in ``gpu`` against the API of TensorRT 10.16 and 11, whose libraries need not be here for that."""

from __future__ import annotations

from pathlib import Path

import pytest
from served import ROOT
from tensorrt_api import VERSIONS, Bindings, bindings, bindings_folder, names_used
from tensorrt_types import Mypy, write_stubs
from tritonsmith_build.gpu.options import HARDWARE

if not bindings_folder().is_dir():
    pytest.skip(f"TensorRT's bindings are not in {bindings_folder()}: make test installs them", allow_module_level=True)

FILES = sorted((ROOT / "build" / "tritonsmith_build" / "gpu").glob("*.py"))


@pytest.fixture(scope="module", params=VERSIONS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    return bindings(request.param, tmp_path_factory.mktemp("libraries"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy keeps, for both versions: most of it is not about TensorRT."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture(scope="module")
def mypy(api: Bindings, scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Mypy:
    stubs = tmp_path_factory.mktemp("stubs")
    write_stubs(api, stubs)
    return Mypy(stubs, scratch)


def test_the_bindings_are_of_the_version_they_are_tested_for(api: Bindings) -> None:
    version = api.python("-c", "import tensorrt_bindings; print(tensorrt_bindings.__version__)")
    assert f"{version.strip()}.".startswith(f"{api.version}.")


def test_every_name_that_is_read_from_the_module_exists(api: Bindings) -> None:
    used = [(name, f"{file.relative_to(ROOT)}:{line}") for file in FILES for name, line in names_used(file.read_text()).items()]
    assert {"Builder", "LayerType.MATRIX_MULTIPLY", "ILogger.Severity"} <= {name for name, _ in used}
    missing = api.missing(name for name, _ in used)
    assert [f"{where}: {name}" for name, where in used if name in missing] == []


def test_every_name_that_a_spec_can_ask_for_exists(api: Bindings) -> None:
    assert api.missing(f"HardwareCompatibilityLevel.{name}" for name in HARDWARE.values()) == set()


def test_every_method_exists_and_gets_the_arguments_it_takes(mypy: Mypy) -> None:
    assert mypy.errors_in(FILES) == []


def test_no_type_of_the_module_is_unknown_so_that_anything_would_pass(mypy: Mypy) -> None:
    assert mypy.unknown() == []


# That the above would see it

USE = """
from __future__ import annotations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorrt


def use(trt: Any, logger: tensorrt.ILogger) -> object:
    builder: tensorrt.Builder = trt.Builder(logger)
    return {use}
"""
LINE = USE.splitlines().index("    return {use}") + 1
USES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "gone_attribute": ("builder.platform_has_fast_fp16", "attr-defined", ("11",)),
    "gone_name": ("trt.BuilderFlag.FP16", "attr-defined", ("11",)),
    "misspelled_method": ("builder.create_bilder_config()", "attr-defined", VERSIONS),
    "argument_too_many": ("builder.create_network(0, 1)", "call-arg", VERSIONS),
    "argument_too_few": ("builder.build_engine_with_config(builder.create_network())", "call-arg", VERSIONS),
    "none_for_a_constructor": ("trt.Runtime()", "call-arg", VERSIONS),
    "wrong_type": ("trt.OnnxParser(builder, logger)", "arg-type", VERSIONS),
    "never_annotated": ("trt.Runtime(logger).deserialize(b'')", "attr-defined", VERSIONS),
    "of_a_type_known_by_its_cpp_name": (
        "trt.OnnxParser(builder.create_network(), logger).get_error(0).why()",
        "attr-defined",
        VERSIONS,
    ),
    "all_right": ("trt.Runtime(logger).deserialize_cuda_engine(b'')", "", ()),
}
"""By name: an expression, what mypy calls its fault, and the versions where it is one."""


def test_a_use_that_does_not_fit_is_an_error(mypy: Mypy, api: Bindings, tmp_path: Path) -> None:
    expected = []
    for name, (use, code, versions) in USES.items():
        (tmp_path / f"{name}.py").write_text(USE.format(use=use))
        expected += [(name, LINE, code)] if api.version in versions else []
    errors = [line.split(":", 2) for line in mypy.errors_in(sorted(tmp_path.iterdir()))]
    found = [(Path(file).stem, int(line), said.rpartition("[")[2].rstrip("]")) for file, line, said in errors]
    assert sorted(found) == sorted(expected)


def test_a_name_that_only_the_older_version_has_is_found_with_its_line(api: Bindings) -> None:
    source = "\n".join(
        [
            "def use(trt):",
            "    config.set_flag(trt.BuilderFlag.FP16)",
            "    return self._trt.Builder(logger).create_network(), getattr(trt.LayerType, 'NONE', None)",
        ]
    )
    used = names_used(source)
    assert used == {"BuilderFlag.FP16": 2, "Builder": 3, "LayerType": 3}
    assert api.missing(used) == {"10.16": set(), "11": {"BuilderFlag.FP16"}}[api.version]
