"""Take products of a quantized graph back to the precision around them, without running a quantizer again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import onnx
from onnx import TensorProto

from tritonsmith_build.errors import SmithError

PRODUCTS = ("MatMul", "Gemm")
_QDQ = ("QuantizeLinear", "DequantizeLinear")
_STORED_ALONE = (TensorProto.INT8, TensorProto.UINT8)

Producers = Mapping[str, onnx.NodeProto]


def producers(model: onnx.ModelProto) -> Producers:
    """The node that makes each tensor."""
    return {output: node for node in model.graph.node for output in node.output}


def before_quantization(tensor: str, made_by: Producers) -> str:
    """What a tensor was before its QuantizeLinear and DequantizeLinear; itself where it has none."""
    while tensor in made_by and made_by[tensor].op_type in _QDQ:
        tensor = made_by[tensor].input[0]
    return tensor


def quantized_products(model: onnx.ModelProto) -> list[str]:
    """Names of the MatMuls and Gemms whose operands both come out of a DequantizeLinear, in the graph's order."""
    made_by = producers(model)

    def dequantized(tensor: str) -> bool:
        return tensor in made_by and made_by[tensor].op_type == "DequantizeLinear"

    return [node.name for node in model.graph.node if node.op_type in PRODUCTS and all(map(dequantized, node.input[:2]))]


def without(quantized: Path, target: Path, names: Collection[str]) -> None:
    """Write ``quantized`` with the products ``names`` reading what stood before their Q/DQ, which then are in no INT8.

    Both operands must still be there in floating point, as ModelOpt leaves them. Raises SmithError where one is not.
    """
    model = onnx.load(quantized)
    fix = "take the names from a search in this file"
    if unknown := sorted(set(names) - set(quantized_products(model))):
        raise SmithError(f"{unknown[0]} is no quantized product", where=quantized, fix=fix)
    made_by = producers(model)
    stored = {tensor.name for tensor in model.graph.initializer if tensor.data_type in _STORED_ALONE}
    for node in model.graph.node:
        if node.name in names:
            for position, tensor in enumerate(node.input):
                node.input[position] = before_quantization(tensor, made_by)
            if lost := sorted(stored & set(node.input)):
                what = f"{lost[0]} is stored in INT8 alone, so {node.name} has no other precision to go back to"
                raise SmithError(what, where=quantized, fix="quantize with Q/DQ on the weights, not with INT8 weights")
    _drop_unused(model.graph)
    onnx.save(model, target)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the Q/DQ that nothing reads any more, and then the constants."""
    used = {output.name for output in graph.output}
    for index in reversed(range(len(graph.node))):  # readers come after what they read
        node = graph.node[index]
        if node.op_type in _QDQ and used.isdisjoint(node.output):
            del graph.node[index]
        else:
            used.update(node.input)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in used:
            del graph.initializer[index]
