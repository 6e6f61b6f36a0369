"""Products by a weight in groups a person can speak of: by what stands around them in the graph, and by layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from tritonsmith_build.stages.dequantized import PRODUCTS, Producers, before_quantization, producers

_ACTIVATIONS = {"Gelu": "GELU", "Erf": "GELU", "Sigmoid": "GELU", "Tanh": "tanh", "Relu": "ReLU"}
"""By operation, what to call it: Erf and Sigmoid are what is seen of a GELU, exact or quick, that was spelled out."""
_ATTENTION, _REST = "attention", "the rest"
_SHAPED = ("Transpose", "Cast", "QuantizeLinear", "DequantizeLinear")
_STOPS = (*PRODUCTS, "Conv", "Shape")


@dataclass(frozen=True)
class Group:
    """Products that read the same activation, and so are quantized together or not at all."""

    name: str
    """Such as ``after GELU, layer 3``: the third of its kind in the graph's order."""
    products: tuple[str, ...]
    """The nodes' names."""
    share: float
    """Of all multiplications by a weight, counted by the weights' elements."""


def groups_of(model: onnx.ModelProto, names: Collection[str]) -> tuple[Group, ...]:
    """The products ``names`` of a graph, quantized or not, in groups and in the graph's order.

    Where a group stands is told by what lies between its products and the next ones, on either side: an activation
    function, or a product of two activations, which is what attention is made of.
    """
    graph = _Graph(model)
    weights = {node.name: graph.weight(node) for node in model.graph.node if node.op_type in PRODUCTS}
    total = sum(weights.values())
    together: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        if node.name in names and weights.get(node.name):
            together.setdefault(before_quantization(node.input[0], graph.made_by), []).append(node)
    layers: Counter[str] = Counter()
    made = []
    for nodes in together.values():
        place = graph.place(nodes)
        layers[place] += 1
        share = sum(weights[node.name] for node in nodes) / total
        made.append(Group(f"{place}, layer {layers[place]}", tuple(node.name for node in nodes), share))
    return tuple(made)


class _Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.made_by: Producers = producers(model)
        self._sizes: dict[str, int] = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
        self._read_by: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for tensor in node.input:
                self._read_by.setdefault(tensor, []).append(node)

    def weight(self, node: onnx.NodeProto) -> int:
        """How many elements the constant operand of a product has; 0 where it has none."""
        tensor = node.input[1]
        while tensor in self.made_by and self.made_by[tensor].op_type in _SHAPED:
            tensor = self.made_by[tensor].input[0]
        return self._sizes.get(tensor, 0)

    def place(self, nodes: Sequence[onnx.NodeProto]) -> str:
        """What the products of a group come after or before: an activation function first, attention second."""
        after = {kind for node in nodes for kind in self._kinds(self._behind(node))}
        before = {kind for node in nodes for kind in self._kinds(self._ahead(node))}
        for wanted in (set(_ACTIVATIONS.values()), {_ATTENTION}):
            for side, kinds in (("after", after & wanted), ("before", before & wanted)):
                if kinds:
                    return f"{side} {min(kinds)}"
        return _REST

    def _kinds(self, nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
        for node in nodes:
            if node.op_type in _ACTIVATIONS:
                yield _ACTIVATIONS[node.op_type]
            elif node.op_type == "MatMul" and not self.weight(node):
                yield _ATTENTION

    def _behind(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        return _walk([node.input[0]], {name: [maker] for name, maker in self.made_by.items()}, "input")

    def _ahead(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        return _walk(node.output, self._read_by, "output")


def _walk(tensors: Iterable[str], neighbours: Mapping[str, list[onnx.NodeProto]], onwards: str) -> Iterator[onnx.NodeProto]:
    """All nodes from ``tensors`` up to the next products, these included; ``onwards`` is the side to leave a node by."""
    waiting, seen = list(tensors), set()
    while waiting:
        for node in neighbours.get(waiting.pop(), ()):
            if node.output[0] not in seen:
                seen.add(node.output[0])
                yield node
                if node.op_type not in _STOPS:
                    waiting += getattr(node, onwards)
