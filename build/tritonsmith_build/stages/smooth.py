"""Move the difficulty of quantizing from activations into weights (SmoothQuant, Xiao et al. 2023).

A LayerNorm leaves a few channels ten times larger than the rest, and one scale for all of them wastes the range of INT8
on those few. Dividing each channel by a factor before a MatMul and multiplying the same row of its weight leaves the
product as it was and both operands flatter. How much of the difficulty to move differs from place to place: what a GELU
gives has one channel far larger than the rest, and wants more of it moved than what a LayerNorm gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tritonsmith_steps.arrays import Arrays

STRENGTHS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the paper's alpha: 0 leaves activations as they are, 1 makes all their channels alike."""
_LEAST = 1e-5
_ROWS = 512
"""Of an activation, on which strengths are compared."""

Floats = NDArray[np.float32]


def weighted_matmuls(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The MatMuls whose second operand is a constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in constants]


def smoothed(model: onnx.ModelProto, calibration: Sequence[Arrays], *, weight_bits: int = 8) -> onnx.ModelProto:
    """``model`` with a multiplication before its weight MatMuls and weights to match; it computes the same.

    MatMuls that read the same activation share one factor a channel: ``max|x|^a / max|w|^(1-a)``, equation 4 of the
    paper, with the greatest activations seen on ``calibration`` and the strength ``a`` under which INT8, with weights of
    ``weight_bits``, harms the products least there.
    """
    most = 2 ** (weight_bits - 1) - 1
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in weighted_matmuls(made):
        readers.setdefault(node.input[0], []).append(node)
    for (activation, nodes), seen in zip(readers.items(), _seen(model, list(readers), calibration), strict=True):
        arrays = [numpy_helper.to_array(weights[node.input[1]]) for node in nodes]
        factor = _least_harmful(seen, arrays, most)
        _insert_before(made.graph, nodes[0], activation, factor)
        for node, array in zip(nodes, arrays, strict=True):
            # A weight of its own for each node: one that serves many layers gets a factor in each.
            own = numpy_helper.from_array(array * factor[:, None], f"{node.name}_weight")
            made.graph.initializer.append(own)
            node.input[0], node.input[1] = f"{activation}_smooth", own.name
    _drop_unused(made.graph)
    return made


@dataclass(frozen=True)
class _Seen:
    """What an activation was on the calibration data: the ends of each channel ``[c]``, and some rows ``[n, c]``."""

    least: Floats
    greatest: Floats
    rows: Floats

    @classmethod
    def of(cls, array: Floats, rows: int) -> _Seen:
        """Of one batch; its rows evenly, from the first to the last: a model's own tokens stand there."""
        flat = array.reshape(-1, array.shape[-1])
        some = np.linspace(0, len(flat) - 1, min(rows, len(flat))).astype(int)
        return cls(flat.min(axis=0), flat.max(axis=0), flat[some])

    def and_of(self, other: _Seen) -> _Seen:
        """Of both."""
        ends = np.minimum(self.least, other.least), np.maximum(self.greatest, other.greatest)
        return _Seen(*ends, np.concatenate([self.rows, other.rows]))


def _seen(model: onnx.ModelProto, tensors: list[str], calibration: Sequence[Arrays]) -> list[_Seen]:
    rows = max(2, _ROWS // len(calibration)) if calibration else 0
    found: list[_Seen] = []
    for arrays in inner_values(model, tensors, calibration):
        new = [_Seen.of(array, rows) for array in arrays]
        found = [old.and_of(one) for old, one in zip(found, new, strict=True)] if found else new
    return found


def _least_harmful(seen: _Seen, weights: Sequence[Floats], most: int) -> Floats:
    exact = [seen.rows @ weight for weight in weights]
    factors = [_factor(seen, weights, strength) for strength in STRENGTHS]
    return min(factors, key=lambda factor: _harm(seen, [weight * factor[:, None] for weight in weights], exact, factor, most))


def _factor(seen: _Seen, weights: Sequence[Floats], strength: float) -> Floats:
    activations = np.maximum(np.maximum(seen.greatest, -seen.least), _LEAST)
    rows = np.maximum(np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0), _LEAST)
    floored: Floats = np.maximum(activations**strength / rows ** (1 - strength), _LEAST).astype(np.float32)
    return floored


def _harm(seen: _Seen, weights: Sequence[Floats], exact: Sequence[Floats], factor: Floats, most: int) -> float:
    """The squares of what INT8 changes in the products: one scale for the activation, one for each column of a weight."""
    least, greatest = min(0.0, float((seen.least / factor).min())), max(0.0, float((seen.greatest / factor).max()))
    scale = (greatest - least) / 255 or 1.0
    rounded = np.rint(seen.rows / factor / scale) * scale
    made = (rounded @ _rounded(weight, most) for weight in weights)
    return sum(float(np.square(product - wanted).sum()) for product, wanted in zip(made, exact, strict=True))


def _rounded(weight: Floats, most: int) -> Floats:
    scale = np.maximum(np.abs(weight).max(axis=0), _LEAST) / most
    made: Floats = np.rint(weight / scale) * scale
    return made


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


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


def _insert_before(graph: onnx.GraphProto, node: onnx.NodeProto, activation: str, factor: Floats) -> None:
    inverse = f"{activation}_smoothing"
    graph.initializer.append(numpy_helper.from_array(1 / factor, inverse))
    mul = helper.make_node("Mul", [activation, inverse], [f"{activation}_smooth"], name=inverse)
    graph.node.insert(list(graph.node).index(node), mul)
