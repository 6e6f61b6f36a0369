"""INT8 for the ``cpu`` target: static Q/DQ calibrated on real text, sensitive MatMuls left out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.errors import SmithError
from tritonsmith_build.leave_out import AFTER_GELU, BEFORE_GELU, LEAVE_OUT
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.smooth import smoothed, weighted_matmuls

_WEIGHT_BITS = 7
"""A CPU without VNNI adds two products of eight bits in 16 and cuts off what is beyond."""


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration batches as ONNX Runtime and ModelOpt ask for them."""

    def __init__(self, data: Sequence[Arrays]) -> None:
        self._all = data
        self._data: Iterator[Arrays] = iter(data)

    def rewind(self) -> None:
        """Begin again: ModelOpt reads twice."""
        self._data = iter(self._all)

    def get_first(self) -> Arrays:
        """The first batch, for its shapes."""
        return self._all[0]

    def get_next(self) -> Arrays | None:
        """The next batch, None after the last."""
        return next(self._data, None)


def int8_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str | None = None) -> None:
    """Write ``source`` with its weight MatMuls in INT8, except those that ``LEAVE_OUT[leave_out]`` names by structure.

    Activations are smoothed first. Scales are fixed from ``calibration``: a text's answer must not depend on the texts
    that share its batch, as it would with scales taken from each batch (ONNX Runtime's dynamic quantization).
    """
    model = onnx.load(source)
    check_products(model)
    nodes = matmuls_to_quantize(model, LEAVE_OUT[leave_out] if leave_out else frozenset())
    with quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        smooth, made = Path(scratch) / "smooth.onnx", Path(scratch) / target.name
        onnx.save(smoothed(model, calibration, weight_bits=_WEIGHT_BITS), smooth)
        quantize_static(
            smooth,
            made,
            Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=_WEIGHT_BITS == 7,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # A product stays in the precision it was accumulated in: rounding it too costs accuracy and saves nothing.
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )
        shutil.move(made, target)


def check_products(model: onnx.ModelProto) -> None:
    """Raise SmithError where there is nothing that INT8 takes: a convolutional network may have no MatMul at all."""
    if not weighted_matmuls(model):
        what = "the network has no MatMul by a weight, and nothing else is quantized"
        raise SmithError(what, where="engine.precision", fix="use fp32, fp16 or bf16")


_SQUASHERS = ("Sigmoid", "Tanh", "Erf")
"""Multiplied with what they read they make GELU's relatives: SiLU, QuickGELU, and GELU itself where it is spelled out."""
_LOOKED_THROUGH = ("Add", "Mul", "Div", "Split", "Slice", *_SQUASHERS, "Gelu")


def matmuls_to_quantize(model: onnx.ModelProto, leave_out: frozenset[str]) -> list[str]:
    """Names of the MatMuls by a constant, without those next to a GELU that ``leave_out`` names.

    Products of two activations (attention scores) gain nothing from Q/DQ on a CPU and are never among them, nor are
    convolutions: a vision model has one, on its pixels, with a hundredth of the weights.
    """
    producer = {output: node for node in model.graph.node for output in node.output}
    places: dict[str, set[str]] = {}
    for node in weighted_matmuls(model):
        if _is_gelu(made_by := producer.get(node.input[0]), producer):
            places.setdefault(node.name, set()).add(AFTER_GELU)
            for before in _behind(made_by, producer):
                if before.op_type == "MatMul":
                    places.setdefault(before.name, set()).add(BEFORE_GELU)
    return [node.name for node in weighted_matmuls(model) if not places.get(node.name, set()) & leave_out]


def _is_gelu(node: onnx.NodeProto | None, producer: dict[str, onnx.NodeProto]) -> bool:
    """Whether a node's output is a GELU's or a relative's, perhaps multiplied with something (GeGLU, SwiGLU)."""
    if node is None or node.op_type not in ("Gelu", "Mul"):
        return False
    return node.op_type == "Gelu" or any(made.op_type in ("Gelu", *_SQUASHERS) for made in _behind(node, producer))


def _behind(node: onnx.NodeProto | None, producer: dict[str, onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """What a node's output is computed from, element by element, back to the first operations of another sort."""
    waiting, seen = [node] if node else [], set()
    while waiting:
        made = waiting.pop()
        if made.output[0] not in seen:
            seen.add(made.output[0])
            yield made
            if made.op_type in _LOOKED_THROUGH:
                waiting.extend(producer[name] for name in made.input if name in producer)
