"""What runs an engine's file on this machine: the first of the proved choices that can."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper
from tally import Tally
from tritonsmith_steps import runtimes
from tritonsmith_steps.engine import CpuEngine
from tritonsmith_steps.runtimes import PLAIN, Choice, UnavailableError, choices_in, first_available, opened

OPENVINO, BF16 = Choice("openvino", "fp32"), Choice("openvino", "bf16")
WIDTH = 64


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding, its mean over the tokens, a product: enough to tell FP32 from BF16."""
    draw = np.random.default_rng(1)
    table, weight = (draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) for _ in range(2))
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["tokens"]),
        helper.make_node("ReduceMean", ["tokens", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", "length"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["rows", WIDTH])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    path = tmp_path_factory.mktemp("runtimes") / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def batch(rows: int, length: int) -> dict[str, Any]:
    return {"ids": np.random.default_rng(rows * length).integers(0, WIDTH, (rows, length)).astype(np.int32)}


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *args: Any, **options: Any) -> Any:
        if name == "openvino":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", importing)


def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])


def test_openvino_answers_as_onnx_runtime_whatever_the_shape(file: Path) -> None:
    one, other = opened(PLAIN, file), opened(OPENVINO, file)
    for rows, length in ((1, 3), (5, 17), (1, 3), (32, 8)):
        given = batch(rows, length)
        np.testing.assert_allclose(other(given), one(given), rtol=1e-5, atol=1e-5)


def test_an_answer_is_not_overwritten_by_the_next(file: Path) -> None:
    run = opened(OPENVINO, file)
    first = run(batch(2, 4))
    kept = first.copy()
    run(batch(2, 5))
    np.testing.assert_array_equal(first, kept)


def test_bf16_is_near_and_not_equal_where_the_cpu_has_it(file: Path) -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    given = batch(8, 16)
    exact, rounded = opened(OPENVINO, file)(given), opened(BF16, file)(given)
    distance = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 1e-5 < distance < 0.02


def test_a_machine_without_openvino_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_openvino(monkeypatch)
    with pytest.raises(UnavailableError, match=r"pip install 'tritonsmith\[openvino\]'"):
        opened(OPENVINO, file)


def test_a_cpu_without_bf16_is_told_before_it_would_pretend(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_bf16(monkeypatch)
    with pytest.raises(UnavailableError, match="this CPU has no BF16"):
        opened(BF16, file)


def test_onnx_runtime_does_not_pretend_bf16(file: Path) -> None:
    with pytest.raises(UnavailableError, match="no bf16 on a CPU"):
        opened(Choice("onnxruntime", "bf16"), file)


def test_the_first_that_can_run_is_taken_with_reasons_for_those_before(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_bf16(monkeypatch)
    unknown = Choice("abacus", "fp32")
    choice, run, reasons = first_available([unknown, BF16, OPENVINO, PLAIN], file)
    assert choice == OPENVINO
    assert run(batch(1, 2)).shape == (1, WIDTH)
    assert [reason.partition(":")[0] for reason in reasons] == ["abacus fp32", "openvino bf16"]


def test_none_that_can_run_is_an_error_with_every_reason(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_openvino(monkeypatch)
    with pytest.raises(UnavailableError, match=r"openvino bf16: .*; openvino fp32: "):
        first_available([BF16, OPENVINO], file)
    with pytest.raises(UnavailableError, match="build the pipeline again"):
        first_available([], file)


def test_the_choices_are_those_of_the_build(tmp_path: Path) -> None:
    assert choices_in(tmp_path) == [PLAIN]
    rows = [{"runtime": "openvino", "compute": "bf16"}, {"runtime": "onnxruntime", "compute": "fp32"}]
    (tmp_path / runtimes.FILE).write_text(json.dumps(rows))
    assert choices_in(tmp_path) == [BF16, PLAIN]
    for damaged in ("{", '[{"runtime": "openvino"}]', '["openvino"]'):
        (tmp_path / runtimes.FILE).write_text(damaged)
        with pytest.raises(ValueError, match=r"engines\.json: cannot be read .*build the pipeline again"):
            choices_in(tmp_path)


def test_an_engine_says_what_it_runs_on_and_why_not_on_what_is_faster(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_openvino(monkeypatch)
    (tmp_path / "small.onnx").write_bytes(file.read_bytes())
    (tmp_path / "step.json").write_text(json.dumps({"pad": {"ids": 0}, "output": "out"}))
    rows = [{"runtime": "openvino", "compute": "fp32"}, {"runtime": "onnxruntime", "compute": "fp32"}]
    (tmp_path / runtimes.FILE).write_text(json.dumps(rows))
    engine = CpuEngine.load(tmp_path, {"artefact": "small.onnx"}, Tally())
    assert engine.about.startswith("runs on onnxruntime fp32; not on openvino fp32: OpenVINO is not installed")
