"""A 16-bit graph simulated in FP32 gives what arithmetic with every result rounded gives: numpy's own, with ml_dtypes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tensorrt_support import run
from tritonsmith_build.stages.simulate import HALVES, simulate, simulated
from workbench import Exported

TYPES = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16}
KINDS = pytest.mark.parametrize("kind", TYPES, ids=["fp16", "bf16"])
WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
Array = np.ndarray[Any, Any]


def graph(kind: int, *nodes: tuple[str, str, str], **constants: Any) -> onnx.ModelProto:
    """From ``x`` to ``y``, both FP32, through the nodes, which have ``kind``; its input is ``h``, its output ``o``."""
    made = [helper.make_node("Cast", ["x"], ["h"], to=kind)]
    made += [helper.make_node(operation, inputs.split(), outputs.split()) for operation, inputs, outputs in nodes]
    made += [helper.make_node("Cast", ["o"], ["y"], to=TensorProto.FLOAT)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", None]) for name in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(made, "half", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def in_fp32(operation: Callable[..., Array], *operands: Array) -> Array:
    """As a GPU does it: 16-bit operands, an exact sum, one rounding at the end."""
    return operation(*(operand.astype(np.float32) for operand in operands)).astype(operands[0].dtype)


@KINDS
def test_every_result_is_rounded(kind: int) -> None:
    half = TYPES[kind]
    weight, bias = WEIGHT.astype(half), np.asarray([0.1, 100, -3], half)
    model = graph(kind, ("MatMul", "h w", "p"), ("Add", "p b", "s"), ("Mul", "s s", "q"), ("Sub", "q s", "o"), w=weight, b=bias)
    total = in_fp32(np.add, in_fp32(np.matmul, X.astype(half), weight), bias)
    expected = in_fp32(np.subtract, in_fp32(np.multiply, total, total), total)
    actual = run(simulated(model), {"x": X})
    np.testing.assert_array_equal(actual, expected.astype(np.float32))
    exact = (X @ WEIGHT + [0.1, 100, -3]) ** 2 - (X @ WEIGHT + [0.1, 100, -3])
    assert np.abs(actual - exact).max() > 1e-3


@KINDS
def test_what_only_moves_numbers_needs_no_rounding_and_gets_none(kind: int) -> None:
    model = graph(kind, ("Transpose", "h", "t"), ("Concat", "t t", "o"))
    model.graph.node[2].attribute.append(helper.make_attribute("axis", 0))
    made = simulated(model)
    assert [node.op_type for node in made.graph.node] == ["Cast", "Cast", "Cast", "Transpose", "Concat", "Cast"]
    rounded = X.astype(TYPES[kind]).astype(np.float32)
    np.testing.assert_array_equal(run(made, {"x": X}), np.concatenate([rounded.T] * 2))


def test_an_overflow_that_onnx_runtime_hides_shows() -> None:
    model = graph(TensorProto.FLOAT16, ("Add", "h h", "twice"), ("Sub", "twice h", "o"))
    x = np.float32([[60000, 1]])
    assert run(model, {"x": x}).tolist() == [[60000, 1]]
    assert run(simulated(model), {"x": x}).tolist() == [[np.inf, 1]]


def test_bf16_has_the_range_of_fp32_and_two_digits() -> None:
    model = graph(TensorProto.BFLOAT16, ("Add", "h h", "o"))
    assert run(simulated(model), {"x": np.float32([[1e38, 60000, 257, 1.001]])}).tolist() == [
        [float(ml_dtypes.bfloat16(2e38)), 119808, 512, 2]
    ]


@KINDS
def test_a_constant_in_a_node_is_widened_too(kind: int) -> None:
    model = graph(kind, ("Constant", "", "c"), ("Mul", "h c", "o"))
    value = numpy_helper.from_array(np.asarray([3.14159], TYPES[kind]))
    model.graph.node[1].attribute.append(helper.make_attribute("value", value))
    half = in_fp32(np.multiply, X.astype(TYPES[kind]), np.asarray([3.14159], TYPES[kind]))
    np.testing.assert_array_equal(run(simulated(model), {"x": X}), half.astype(np.float32))


@KINDS
def test_an_int8_product_keeps_its_integers(kind: int) -> None:
    half = TYPES[kind]
    model = graph(
        kind, ("QuantizeLinear", "h s z", "q"), ("DequantizeLinear", "q s z", "o"), s=np.asarray(0.1, half), z=np.int8(0)
    )
    made = simulated(model)
    assert [tensor.data_type for tensor in made.graph.initializer] == [TensorProto.FLOAT, TensorProto.INT8]
    scale = np.asarray(0.1, half).astype(np.float32)
    expected = (np.clip(np.round(X.astype(half).astype(np.float32) / scale), -128, 127) * scale).astype(half)
    np.testing.assert_array_equal(run(made, {"x": X}), expected.astype(np.float32))


def test_no_16_bits_are_left_but_in_the_roundings_and_the_given_graph_is_as_it_was() -> None:
    model = graph(TensorProto.BFLOAT16, ("MatMul", "h w", "o"), w=WEIGHT.astype(ml_dtypes.bfloat16))
    before = model.SerializeToString()
    made = simulated(model)
    assert model.SerializeToString() == before
    onnx.checker.check_model(made)
    types = onnx.shape_inference.infer_shapes(made).graph.value_info
    halves = {value.name for value in types if value.type.tensor_type.elem_type in HALVES}
    down = [node.output[0] for node in made.graph.node if node.name.endswith("_down")]
    assert halves == set(down)
    assert len(down) == 2  # of the Cast and of the MatMul


def test_a_graph_without_16_bits_is_simulated_as_it_is(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    case = exported("bert-2")
    simulate(case.file, tmp_path / "simulated.onnx")
    batch = case.batch(["good film", "a dull plot"])
    np.testing.assert_allclose(run(tmp_path / "simulated.onnx", batch), run(case.file, batch), atol=1e-5)
