"""Where an engine can run, which file it is there, and how each precision is made: a row a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tritonsmith_build.leave_out import LEAVE_OUT
from tritonsmith_build.spec import Precision

TargetName = Literal["cpu", "onnxruntime"]


@dataclass(frozen=True)
class Route:
    """One way from the FP32 graph to a precision."""

    function: str
    """``module:function`` below ``stages``, called with ``(source, target, calibration, leave_out=…)``."""
    leave_out: str | None = None
    """What is not quantized: a row of ``LEAVE_OUT``."""
    packages: tuple[str, ...] = ("onnx", "onnxruntime")
    """Whose versions the result depends on."""

    @property
    def code(self) -> tuple[str, ...]:
        """This package's files that the result depends on."""
        module = self.function.partition(":")[0]
        shared = ("precision.py", "smooth.py", "modelopt_apart.py", f"{module}.py")
        return ("leave_out.py", "batches.py", *(f"stages/{file}" for file in shared))


@dataclass(frozen=True)
class Target:
    """A kind of server."""

    artefact: str
    """The engine's file, which the target's configuration names."""
    routes: Mapping[Precision, tuple[Route, ...]]
    """By precision, what is tried in turn until the gate is passed; nothing where the FP32 graph serves as it is."""


_MODELOPT = ("onnx", "onnxruntime", "nvidia-modelopt")

TARGETS: dict[TargetName, Target] = {
    "cpu": Target(
        artefact="model.cpu.onnx",
        routes={"fp32": (), "int8": tuple(Route("precision:int8_from_onnx", row) for row in LEAVE_OUT)},
    ),
    "onnxruntime": Target(
        artefact="model.onnx",
        routes={
            "fp32": (),
            "fp16": (Route("gpu_precision:fp16_from_onnx", packages=_MODELOPT),),
            "int8": tuple(Route("gpu_precision:int8_from_onnx", row, _MODELOPT) for row in LEAVE_OUT),
        },
    ),
}
