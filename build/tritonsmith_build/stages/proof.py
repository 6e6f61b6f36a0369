"""Read from a graph what its precision really is: a claim of INT8 is worth its share of the work."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import onnx
from onnx import TensorProto

_LOOKED_THROUGH = ("DequantizeLinear", "QuantizeLinear", "Cast", "Transpose")


def weight_shares(file: Path) -> dict[str, float]:
    """Of the multiplications by a constant (MatMul and Gemm), the share done in each type, by the weights' elements.

    A product counts as ``int8`` where both its operands come out of a DequantizeLinear, which is what a runtime fuses into
    an integer product, and else as the type its weight is stored in. The elements of a weight are proportional to the
    product's operations.
    """
    graph = onnx.load(file).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producer = {output: node for node in graph.node for output in node.output}
    elements: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        name = node.input[1]
        while name in producer and producer[name].op_type in _LOOKED_THROUGH:
            name = producer[name].input[0]
        if name in constants:
            quantized = all(name in producer and producer[name].op_type == "DequantizeLinear" for name in node.input[:2])
            stored = TensorProto.DataType.Name(constants[name].data_type).lower()
            kind = "int8" if quantized else f"{stored} weights alone" if stored == "int8" else stored
            elements[kind] += math.prod(constants[name].dims)
    total = sum(elements.values())
    return {kind: round(count / total, 4) for kind, count in sorted(elements.items())}
