"""FP16 and INT8 as GPUs want them: types in the graph, symmetric Q/DQ, FP16 for what is not quantized.

TensorRT 11 takes the types that the ONNX file has and quantizes only between explicit symmetric Q/DQ. The same file runs on
ONNX Runtime, on a CPU too, which is where it is proved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.leave_out import LEAVE_OUT
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.modelopt_apart import run_apart
from tritonsmith_build.stages.precision import matmuls_to_quantize
from tritonsmith_build.stages.smooth import smoothed


def fp16_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str | None = None) -> None:
    """Write ``source`` in FP16, its inputs and outputs as they were; what would overflow stays FP32."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        run_apart(Path(scratch), "fp16", {"source": str(source), "target": str(target)})


def int8_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str) -> None:
    """Write ``source`` with its weight MatMuls in symmetric INT8, those that ``leave_out`` names and all else in FP16."""
    model = onnx.load(source)
    chosen = set(matmuls_to_quantize(model, LEAVE_OUT[leave_out]))
    others = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in chosen]
    with quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        smooth = Path(scratch) / "smooth.onnx"
        onnx.save(smoothed(model, calibration), smooth)
        options = {"source": str(smooth), "target": str(target), "exclude": others}
        run_apart(Path(scratch), "int8", options, calibration)
