"""Whether a plan can load on a host, before Triton tries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.server import plans, preflight
from tritonsmith_build.server.plans import Gpu, Host, gpus, plan_for, plan_problem, version_from_number

H100 = Gpu("NVIDIA H100 80GB HBM3", "9.0", "580.95.05")
L4 = Gpu("NVIDIA L4", "8.9", "580.95.05")


def plan(**changes: Any) -> dict[str, Any]:
    """One plan of a manifest, built by TensorRT 11.2.1 for compute capability 9.0."""
    return {
        "file": "moods_engine/1/model.sm90.plan",
        "tensorrt": "11.2.1.2",
        "driver_at_least": "580.65.06",
        "version_compatible": False,
        "hardware_compatible": "none",
    } | changes


COMPATIBLE = plan(version_compatible=True)
CASES: dict[str, tuple[dict[str, Any], Host, str | None]] = {
    "its own GPU and TensorRT": ({"9.0": plan()}, Host((H100,), "11.2.1"), None),
    "no GPU": ({"9.0": plan()}, Host((), "11.2.1"), "no GPU is to be seen"),
    "another GPU": ({"9.0": plan()}, Host((L4,), "11.2.1"), "no plan for compute capability 8.9 (NVIDIA L4), only for 9.0"),
    "one of two GPUs has none": ({"9.0": plan()}, Host((H100, L4), "11.2.1"), "compute capability 8.9"),
    "a plan each": ({"9.0": plan(), "8.9": plan()}, Host((H100, L4), "11.2.1"), None),
    "no TensorRT": ({"9.0": plan()}, Host((H100,), None), "no TensorRT library"),
    "a newer TensorRT": ({"9.0": plan()}, Host((H100,), "11.2.2"), "was built by TensorRT 11.2.1.2, this server has 11.2.2"),
    "an older TensorRT": ({"9.0": plan()}, Host((H100,), "10.16.1"), "this server has 10.16.1"),
    "version compatible, newer": ({"9.0": COMPATIBLE}, Host((H100,), "11.4.0"), None),
    "version compatible, older": ({"9.0": COMPATIBLE}, Host((H100,), "11.2.0"), "was built by"),
    "version compatible, next major": ({"9.0": COMPATIBLE}, Host((H100,), "12.0.0"), "was built by"),
    "built to run on newer GPUs": ({"8.6": plan(hardware_compatible="ampere_plus")}, Host((L4, H100), "11.2.1"), None),
    "same capability alone": (
        {"8.6": plan(hardware_compatible="same_compute_capability")},
        Host((L4,), "11.2.1"),
        "no plan for compute capability 8.9",
    ),
    "a GPU before Ampere": (
        {"8.6": plan(hardware_compatible="ampere_plus")},
        Host((Gpu("Tesla T4", "7.5", "580.95.05"),), "11.2.1"),
        "no plan for compute capability 7.5",
    ),
    "an old driver": (
        {"9.0": plan()},
        Host((Gpu("NVIDIA H100", "9.0", "575.57.08"),), "11.2.1"),
        "wants driver 580.65.06 or newer, NVIDIA H100 has 575.57.08",
    ),
    "a driver with more digits": ({"9.0": plan(driver_at_least="99.1")}, Host((H100,), "11.2.1"), None),
}


@pytest.mark.parametrize(("built", "here", "problem"), CASES.values(), ids=CASES.keys())
def test_a_plan_loads_only_where_it_fits(built: dict[str, Any], here: Host, problem: str | None) -> None:
    found = plan_problem(built, here)
    assert found is None if problem is None else found is not None and problem in found


def test_the_plan_of_a_gpu_comes_before_one_for_all() -> None:
    own, general = plan(), plan(hardware_compatible="ampere_plus")
    assert plan_for({"8.6": general, "9.0": own}, "9.0") is own


@pytest.mark.parametrize(("number", "version"), [(110201, "11.2.1"), (101601, "10.16.1"), (110000, "11.0.0")])
def test_the_librarys_number_is_read(number: int, version: str) -> None:
    assert version_from_number(number) == version


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9, 580.95.05'\necho 'A name, with comma, 9.0, 580.95.05'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus() == (L4, Gpu("A name, with comma", "9.0", "580.95.05"))
    tool.write_text("#!/bin/sh\necho 'no devices were found'; exit 6\n")
    assert gpus() == ()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One pipeline whose engine has a plan for one GPU."""
    for model, text in {"moods": 'model_name: "moods_engine"\n model_version: 1\n key: "task"\n', "moods_engine": ""}.items():
        (tmp_path / model / "1").mkdir(parents=True)
        (tmp_path / model / "config.pbtxt").write_text(text)
    folder = tmp_path / "moods_engine" / "1"
    (folder / "model.sm90.plan").write_bytes(b"plan")
    said = {"moods_engine/1/model.sm90.plan": {"sha256": sha256(folder / "model.sm90.plan"), "bytes": 4}}
    target = {"backend": "tensorrt", "precision": "int8", "files": said, "plans": {"9.0": plan()}}
    (folder / "manifest.json").write_text(json.dumps({"pipeline": "moods", "targets": {"tensorrt": target}}))
    return tmp_path


def test_serving_is_refused_with_the_command_that_rebuilds(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "host", lambda: Host((H100,), "11.4.0"))
    with pytest.raises(SmithError) as refused:
        preflight.pipelines_in(repository, "tensorrt", {"tensorrt", "python"})
    assert "was built by TensorRT 11.2.1.2, this server has 11.4.0" in str(refused.value)
    assert "run: tritonsmith build moods --target tensorrt --precision int8" in str(refused.value)


def test_a_plan_that_fits_is_served(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "host", lambda: Host((H100,), "11.2.1"))
    found = preflight.pipelines_in(repository, "tensorrt", {"tensorrt", "python"})
    assert found.ready == ("moods",)
    assert found.backend_options == ()


def test_triton_is_told_of_a_version_compatible_plan(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = repository / "moods_engine" / "1" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["targets"]["tensorrt"]["plans"]["9.0"] = COMPATIBLE
    manifest.write_text(json.dumps(content))
    monkeypatch.setattr(preflight, "host", lambda: Host((H100,), "11.4.0"))
    found = preflight.pipelines_in(repository, "tensorrt", {"tensorrt"})
    assert found.backend_options == ("tensorrt,version-compatible=true",)


def test_a_damaged_plan_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "host", lambda: Host((H100,), "11.2.1"))
    (repository / "moods_engine" / "1" / "model.sm90.plan").write_bytes(b"plaN")
    with pytest.raises(SmithError, match="not the file its manifest speaks of"):
        preflight.pipelines_in(repository, "tensorrt", {"tensorrt"})


def test_a_server_without_the_backend_says_so(repository: Path) -> None:
    with pytest.raises(SmithError, match="this server has no tensorrt backend"):
        preflight.pipelines_in(repository, "tensorrt", {"python"})


def test_without_a_library_there_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_LIBRARIES", ("libno-such-library.so.1",))
    assert plans.tensorrt_version() is None
