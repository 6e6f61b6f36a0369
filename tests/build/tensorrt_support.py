"""What the tests of GPU graphs share: the conversions by name, and how to run and read their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorrt_rtx as trt
from tritonsmith_build.stages.gpu_precision import bf16_from_onnx, fp16_from_onnx, int8_from_onnx
from tritonsmith_build.stages.simulate import simulated

Arrays = Mapping[str, np.ndarray[Any, Any]]
CONVERSIONS: dict[str, Callable[..., None]] = {
    "fp16": fp16_from_onnx,
    "bf16": bf16_from_onnx,
    "int8": partial(int8_from_onnx, leave_out="after GELU"),
}
TYPES = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16", "int8": "HALF"}
"""What TensorRT calls the type of a product that is not INT8."""


def for_ampere(config: Any) -> None:
    """Without a GPU the builder must be told which one is meant."""
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)


def convert(precision: str, source: Path, folder: Path, calibration: Sequence[Arrays]) -> Path:
    """The graph in a precision; FP32 is the one that was exported."""
    if precision == "fp32":
        return source
    CONVERSIONS[precision](source, folder / f"{precision}.onnx", calibration)
    return folder / f"{precision}.onnx"


def run(model: Path | onnx.ModelProto, batch: Arrays) -> np.ndarray[Any, Any]:
    """The one output of a graph, by ONNX Runtime, quantized products computed as they are written."""
    content = model if isinstance(model, Path) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, dict(batch))
    return output


def run_simulated(file: Path, batch: Arrays) -> np.ndarray[Any, Any]:
    """The one output of a 16-bit graph, every tensor of it rounded as a GPU would."""
    return run(simulated(onnx.load(file)), batch)
