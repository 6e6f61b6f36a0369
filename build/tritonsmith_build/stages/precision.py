"""INT8 for the ``cpu`` target: static Q/DQ calibrated on real text, sensitive MatMuls left out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.leave_out import AFTER_GELU, BEFORE_GELU, LEAVE_OUT
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.smooth import smoothed, weighted_matmuls


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


def int8_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str) -> None:
    """Write ``source`` with its weight MatMuls in INT8 except those that ``LEAVE_OUT[leave_out]`` names by structure.

    Activations are smoothed first. Scales are fixed from ``calibration``: a text's answer must not depend on the texts
    that share its batch, as it would with scales taken from each batch (ONNX Runtime's dynamic quantization).
    """
    model = onnx.load(source)
    nodes = matmuls_to_quantize(model, LEAVE_OUT[leave_out])
    with quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        smooth, made = Path(scratch) / "smooth.onnx", Path(scratch) / target.name
        onnx.save(smoothed(model, calibration), smooth)
        quantize_static(
            smooth,
            made,
            Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # A product stays in the precision it was accumulated in: rounding it too costs accuracy and saves nothing.
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )
        shutil.move(made, target)


def matmuls_to_quantize(model: onnx.ModelProto, leave_out: frozenset[str]) -> list[str]:
    """Names of the MatMuls by a constant, without those next to a GELU that ``leave_out`` names.

    Products of two activations (attention scores) gain nothing from Q/DQ on a CPU and are never among them.
    """
    producer = {output: node for node in model.graph.node for output in node.output}
    before = {_product_behind(node.input[0], producer) for node in model.graph.node if node.op_type == "Gelu"}

    def places(node: onnx.NodeProto) -> set[str]:
        reads = producer.get(node.input[0])
        found = {AFTER_GELU: reads is not None and reads.op_type == "Gelu", BEFORE_GELU: node.name in before}
        return {place for place, holds in found.items() if holds}

    return [node.name for node in weighted_matmuls(model) if not places(node) & leave_out]


def _product_behind(tensor: str, producer: dict[str, onnx.NodeProto]) -> str | None:
    """The MatMul that made a tensor, looking through the addition of its bias."""
    node = producer.get(tensor)
    while node is not None and node.op_type == "Add":
        node = next((producer[name] for name in node.input if name in producer), None)
    return node.name if node is not None and node.op_type == "MatMul" else None
