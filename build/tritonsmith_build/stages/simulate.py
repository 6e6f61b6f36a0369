"""A 16-bit graph as an FP32 graph that rounds: what a GPU would compute, on any CPU.

ONNX Runtime on a CPU has no BF16 products. FP16 graphs it runs in FP32, and drops the roundings between one operation and the
next, so that an overflow does not show.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# What such an operation puts out it was given, rounded already.
_MOVES = frozenset(
    [
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Neg",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


def simulate(source: Path, target: Path) -> None:
    """Write ``source`` as :func:`simulated` makes it."""
    onnx.save(simulated(onnx.load(source)), target)


def simulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` computed in FP32, each FP16 or BF16 tensor rounded to its type where it is made.

    As on a GPU, an operation works in FP32 inside (a product's sum, a Softmax) and its result is rounded once. An input or
    output in 16 bits becomes FP32.
    """
    made, types = onnx.ModelProto(), _types(model)
    made.CopyFrom(model)
    graph = made.graph
    del graph.value_info[:], graph.node[:]
    for tensor in graph.initializer:
        _widen(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in HALVES:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in model.graph.node:
        graph.node.extend(_as_fp32(node, types))
    return made


def _as_fp32(node: onnx.NodeProto, types: dict[str, int]) -> list[onnx.NodeProto]:
    """The node in FP32, then what rounds each of its outputs that had 16 bits."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    for attribute in made.attribute:
        if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in HALVES:
            attribute.i = TensorProto.FLOAT
    if node.op_type in _MOVES:
        return [made]
    nodes = [made]
    for index, name in enumerate(node.output):
        if types.get(name) in HALVES:
            made.output[index] = f"{name}_exact"
            nodes += _rounding(f"{name}_exact", name, types[name])
    return nodes


def _rounding(exact: str, name: str, kind: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [exact], [f"{name}_rounded"], name=f"{name}_down", to=kind),
        helper.make_node("Cast", [f"{name}_rounded"], [name], name=f"{name}_up", to=TensorProto.FLOAT),
    ]


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in HALVES:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}
