"""What 16 bits cannot hold is found beforehand: masks, overflow, angles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorrt_rtx as trt
import transformers
from onnx import TensorProto, helper, numpy_helper
from tensorrt_support import convert, run, run_simulated
from tiny_models import save_classifier, sentences
from tritonsmith_build.gpu.plan import network_types
from tritonsmith_build.stages import gpu_precision
from tritonsmith_build.stages.half import MASKED, kept_in_fp32, with_finite_masks
from workbench import Exported, export, write_spec

LEAST = float(np.finfo(np.float32).min)


def graph(*nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """From ``x`` ``[rows, 4]`` to ``y``, both FP32."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 4]) for name in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=f"{kind}_{output}", **attributes)


# Masks


@pytest.mark.parametrize("least", [LEAST, -np.inf, -1e9], ids=["least", "infinite", "large"])
def test_minus_infinity_becomes_a_number_that_16_bits_have(least: float) -> None:
    model = graph(node("Add", "x mask", "y"), mask=[0, least, -3, least])
    (tensor,) = with_finite_masks(model).graph.initializer
    assert numpy_helper.to_array(tensor).tolist() == [0, MASKED, -3, MASKED]
    assert np.float16(MASKED) == MASKED
    assert np.isfinite(np.float16(MASKED) * 3)


def test_a_masked_softmax_gives_what_it_gave_and_to_a_row_of_masks_no_nan() -> None:
    model = graph(node("Add", "x mask", "z"), node("Softmax", "z", "y"), mask=[[0, 0, LEAST, LEAST]])
    x = np.float32([[1, 2, 30, 4], [-3, 2, 0, 9]])
    np.testing.assert_array_equal(run(with_finite_masks(model), {"x": x}), run(model, {"x": x}))
    masked = with_finite_masks(graph(node("Add", "x mask", "z"), node("Softmax", "z", "y"), mask=[[-np.inf] * 4]))
    assert np.isfinite(run(masked, {"x": x})).all()


def test_the_graph_that_was_given_is_left_as_it_was() -> None:
    model = graph(node("Add", "x mask", "y"), mask=[LEAST])
    before = model.SerializeToString()
    with_finite_masks(model)
    assert model.SerializeToString() == before


# What stays FP32


SQUARES = graph(
    node("Mul", "x two", "doubled"),
    node("Mul", "doubled doubled", "squared"),
    node("Tanh", "squared", "y"),
    two=2.0,
)


@pytest.mark.parametrize(
    ("value", "kept"), [(80.0, []), (120.0, ["Mul_squared", "Tanh_y"]), (-120.0, ["Mul_squared", "Tanh_y"])]
)
def test_a_node_that_reads_or_writes_too_large_a_number_stays_in_fp32(value: float, kept: list[str]) -> None:
    data = [{"x": np.float32([[1, 1, 1, 1]])}, {"x": np.float32([[1, 1, value, 1]])}]
    assert kept_in_fp32(SQUARES, data, "fp16") == kept
    assert kept_in_fp32(SQUARES, data, "bf16") == []


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_what_computes_an_angle_stays_in_fp32(kind: Any) -> None:
    model = graph(
        node("Relu", "x", "positions"),
        node("Mul", "positions frequencies", "angles"),
        node("Cos", "angles", "turns"),
        node("Mul", "turns x", "y"),
        frequencies=[1, 0.1, 0.01, 0.001],
    )
    assert kept_in_fp32(model, [{"x": np.ones((1, 4), np.float32)}], kind) == ["Cos_turns", "Mul_angles", "Relu_positions"]


# A whole model that FP16 cannot hold


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A BERT whose first feed-forward passes 65504 inside; after its LayerNorm everything is as ever."""
    folder = tmp_path_factory.mktemp("large")
    save_classifier(folder / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "model")
    model.bert.encoder.layer[0].intermediate.dense.weight.data *= 5e4
    model.save_pretrained(folder / "model")
    return export(write_spec(folder, input={"buckets": [16, 32]}), folder / "exported")


CALIBRATION, TEXTS = sentences(20, seed=3), sentences(12, seed=4)
PRODUCTS = {  # both of that feed-forward stay FP32; INT8 leaves the second of the other layer, the attentions and the head
    "fp16": {"HALF": 16, "FLOAT": 2},
    "bf16": {"BF16": 18},
    "int8": {"INT8": 9, "HALF": 7, "FLOAT": 2},
}


@pytest.mark.parametrize(("precision", "near"), [("fp16", 0.001), ("bf16", 0.01), ("int8", 0.1)])
def test_a_model_that_overflows_fp16_answers_as_in_fp32(large: Exported, tmp_path: Path, precision: str, near: float) -> None:
    file = convert(precision, large.file, tmp_path, [large.batch([text]) for text in CALIBRATION])
    assert network_types(trt, file.read_bytes()) == PRODUCTS[precision]
    nodes = onnx.load(file).graph.node
    dequantized = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    assert {node.op_type for node in nodes if dequantized & set(node.input)} <= {"MatMul"}  # what is kept is not quantized
    batch = large.batch(TEXTS, length=32)
    expected, actual = run(large.file, batch), run_simulated(file, batch)
    assert np.abs(actual - expected).mean() < near * np.ptp(expected)


def test_without_that_care_fp16_overflows_and_onnx_runtime_on_a_cpu_does_not_show_it(
    large: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_precision, "kept_in_fp32", lambda *given: [])
    file = convert("fp16", large.file, tmp_path, [])
    batch = large.batch(TEXTS, length=32)
    assert np.isnan(run_simulated(file, batch)).all()
    assert np.isfinite(run(file, batch)).all()
