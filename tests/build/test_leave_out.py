"""Which products stand next to a GELU, whatever way it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonsmith_build.leave_out import AFTER_GELU, BEFORE_GELU
from tritonsmith_build.stages.precision import matmuls_to_quantize

CONSTANTS = ("one", "half", "factor", "root", "bias")
WEIGHTS = ("up", "gate", "down", "out")


def model(*lines: str, **attributes: Any) -> onnx.ModelProto:
    """Nodes as ``output = Operation inputs``; a MatMul has its weight's name, so that it can be told."""
    nodes = []
    for line in lines:
        outputs, _, call = line.partition(" = ")
        operation, *inputs = call.split()
        name = next((given for given in inputs if given in WEIGHTS), "")
        nodes.append(helper.make_node(operation, inputs, outputs.split(), name=name, **attributes.get(operation, {})))
    tensors = [numpy_helper.from_array(np.ones((4, 4), np.float32), name) for name in WEIGHTS]
    tensors += [numpy_helper.from_array(np.float32(1), name) for name in CONSTANTS]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 4]) for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "feed-forward", ends[:1], ends[1:], tensors))


UP, DOWN = ("m = MatMul x up", "h = Add m bias"), ("y = MatMul g down",)
GELUS = {
    "gelu": (*UP, "g = Gelu h", *DOWN),
    "silu": (*UP, "s = Sigmoid h", "g = Mul h s", *DOWN),
    "quick gelu": (*UP, "f = Mul h factor", "s = Sigmoid f", "g = Mul h s", *DOWN),
    "gelu by erf": (*UP, "d = Div h root", "e = Erf d", "p = Add e one", "a = Mul h p", "g = Mul a half", *DOWN),
    "gelu by tanh": (*UP, "f = Mul h factor", "t = Tanh f", "p = Add t one", "a = Mul h half", "g = Mul a p", *DOWN),
    "geglu": ("m = MatMul x up", "h k = Split m", "a = Gelu h", "g = Mul a k", *DOWN),
}


@pytest.mark.parametrize("lines", GELUS.values(), ids=GELUS)
def test_the_products_around_a_gelu_are_found(lines: tuple[str, ...]) -> None:
    made = model(*lines)
    assert matmuls_to_quantize(made, frozenset()) == ["up", "down"]
    assert matmuls_to_quantize(made, frozenset({AFTER_GELU})) == ["up"]
    assert matmuls_to_quantize(made, frozenset({BEFORE_GELU})) == ["down"]


def test_both_products_that_a_gated_unit_multiplies_come_before_it() -> None:
    swiglu = model("h = MatMul x gate", "k = MatMul x up", "s = Sigmoid h", "a = Mul h s", "g = Mul a k", *DOWN)
    assert matmuls_to_quantize(swiglu, frozenset({AFTER_GELU})) == ["gate", "up"]
    assert matmuls_to_quantize(swiglu, frozenset({BEFORE_GELU})) == ["down"]


OTHERS = {
    "a pooler's tanh": (*UP, "g = Tanh h", *DOWN),
    "a norm": (*UP, "s = Gelu h", "g = LayerNormalization s factor", *DOWN),
    "a norm's scale": (*UP, "s = Gelu h", "n = LayerNormalization s factor", "g = Mul n factor", *DOWN),
    "an attention": (*UP, "s = Softmax h", "g = MatMul s x", *DOWN),
    "a residual": ("m = MatMul x up", "a = Gelu m", "d = MatMul a gate", "g = Add d x", *DOWN),
}


@pytest.mark.parametrize("lines", OTHERS.values(), ids=OTHERS)
def test_a_product_that_reads_something_else_is_not_next_to_a_gelu(lines: tuple[str, ...]) -> None:
    assert "down" in matmuls_to_quantize(model(*lines), frozenset({AFTER_GELU, BEFORE_GELU}))
