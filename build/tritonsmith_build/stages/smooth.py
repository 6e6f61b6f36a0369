"""Move the difficulty of quantizing from activations into weights (SmoothQuant, Xiao et al. 2023).

A LayerNorm leaves a few channels ten times larger than the rest, and one scale for all of them wastes the range of INT8
on those few. Dividing each channel by a factor before a MatMul and multiplying the same row of its weight leaves the
product as it was and both operands flatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tritonsmith_steps.arrays import Arrays

STRENGTH = 0.5
"""The paper's alpha: 0 leaves activations as they are, 1 makes all their channels alike."""
_LEAST = 1e-5

Floats = NDArray[np.float32]


def weighted_matmuls(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The MatMuls whose second operand is a constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in constants]


def smoothed(model: onnx.ModelProto, calibration: Iterable[Arrays]) -> onnx.ModelProto:
    """``model`` with a multiplication before its weight MatMuls and weights to match; it computes the same.

    MatMuls that read the same activation share one factor a channel: ``max|x|^a / max|w|^(1-a)``, equation 4 of the
    paper, with the greatest activations seen on ``calibration``.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in weighted_matmuls(made):
        readers.setdefault(node.input[0], []).append(node)
    greatest = _greatest(model, list(readers), calibration)
    for activation, nodes in readers.items():
        arrays = [numpy_helper.to_array(weights[node.input[1]]) for node in nodes]
        factor = _factor(greatest[activation], np.max([np.abs(array).max(axis=1) for array in arrays], axis=0))
        _insert_before(made.graph, nodes[0], activation, factor)
        for node, array in zip(nodes, arrays, strict=True):
            # A weight of its own for each node: one that serves many layers gets a factor in each.
            own = numpy_helper.from_array(array * factor[:, None], f"{node.name}_weight")
            made.graph.initializer.append(own)
            node.input[0], node.input[1] = f"{activation}_smooth", own.name
    _drop_unused(made.graph)
    return made


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _factor(activations: Floats, weights: Floats) -> Floats:
    factor = np.maximum(activations, _LEAST) ** STRENGTH / np.maximum(weights, _LEAST) ** (1 - STRENGTH)
    floored: Floats = np.maximum(factor, _LEAST).astype(np.float32)
    return floored


def inner_values(model: onnx.ModelProto, tensors: list[str], data: Iterable[Arrays]) -> Iterator[list[Floats]]:
    """The FP32 tensors inside ``model`` that have these names, for one batch after the other."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    own = {value.name for value in model.graph.output}
    wanted = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors if name not in own]
    probe.graph.output.extend(wanted)
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in data:
        yield session.run(tensors, batch)


def _greatest(model: onnx.ModelProto, tensors: list[str], calibration: Iterable[Arrays]) -> dict[str, Floats]:
    """The greatest magnitude of each channel of each tensor."""
    seen = (
        [np.abs(array).reshape(-1, array.shape[-1]).max(axis=0) for array in arrays]
        for arrays in inner_values(model, tensors, calibration)
    )
    return {name: np.max(maxima, axis=0) for name, maxima in zip(tensors, zip(*seen, strict=True), strict=True)}


def _insert_before(graph: onnx.GraphProto, node: onnx.NodeProto, activation: str, factor: Floats) -> None:
    inverse = f"{activation}_smoothing"
    graph.initializer.append(numpy_helper.from_array(1 / factor, inverse))
    mul = helper.make_node("Mul", [activation, inverse], [f"{activation}_smooth"], name=inverse)
    graph.node.insert(list(graph.node).index(node), mul)
