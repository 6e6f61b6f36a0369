"""FP16, BF16 and INT8 as GPUs want them: types in the graph, symmetric Q/DQ, FP16 for what is not quantized.

TensorRT 11 takes the types that the ONNX file has and quantizes only between explicit symmetric Q/DQ. ONNX Runtime runs the
same file, FP16 and INT8 on a CPU too; what 16 bits do to it there is seen through ``simulate.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.leave_out import LEAVE_OUT
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.half import Half, kept_in_fp32, with_finite_masks
from tritonsmith_build.stages.modelopt_apart import run_apart
from tritonsmith_build.stages.precision import check_products, matmuls_to_quantize
from tritonsmith_build.stages.smooth import smoothed


def fp16_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str | None = None) -> None:
    """Write ``source`` in FP16, its inputs and outputs as they were; what would overflow stays FP32."""
    _halved(source, target, calibration, "fp16")


def bf16_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str | None = None) -> None:
    """Write ``source`` in BF16, its inputs and outputs as they were: the range of FP32, with three digits less.

    The file has opset 22, the first in which every operation takes BF16. No CPU runs it: see ``simulate.py``.
    """
    _halved(source, target, calibration, "bf16")


def int8_from_onnx(source: Path, target: Path, calibration: Sequence[Arrays], *, leave_out: str | None = None) -> None:
    """Write ``source`` with its weight MatMuls in symmetric INT8, those that ``leave_out`` names and all else in FP16."""
    model = with_finite_masks(onnx.load(source))
    check_products(model)
    chosen = matmuls_to_quantize(model, LEAVE_OUT[leave_out] if leave_out else frozenset())
    with quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made, file = smoothed(model, calibration), Path(scratch) / "smooth.onnx"
        onnx.save(made, file)
        kept = kept_in_fp32(made, calibration, "fp16")
        products = {node.name for node in model.graph.node if node.op_type == "MatMul"}
        exclude = sorted(products - (set(chosen) - set(kept)))
        options = {"source": str(file), "target": str(target), "exclude": exclude, "kept": kept}
        run_apart(Path(scratch), "int8", options, calibration)


def _halved(source: Path, target: Path, calibration: Sequence[Arrays], kind: Half) -> None:
    model = with_finite_masks(onnx.load(source))
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        file = Path(scratch) / "finite.onnx"
        onnx.save(model, file)
        options = {"source": str(file), "target": str(target), "kind": kind, "kept": kept_in_fp32(model, calibration, kind)}
        run_apart(Path(scratch), "half", options)
