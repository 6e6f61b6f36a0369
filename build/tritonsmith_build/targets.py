"""Where an engine can run, which file it is there, and how each precision is made: a row a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tritonsmith_build.leave_out import LEAVE_OUT
from tritonsmith_build.tables import Precision

TargetName = Literal["cpu", "onnxruntime", "tensorrt"]


@dataclass(frozen=True)
class Route:
    """One way from the FP32 graph to a precision."""

    function: str
    """``module:function`` below ``stages``, called with ``(source, target, calibration, leave_out=…)``."""
    leave_out: str | None = None
    """What is not quantized: a row of ``LEAVE_OUT``."""
    packages: tuple[str, ...] = ("onnx", "onnxruntime")
    """Whose versions the result depends on."""
    simulated: bool = False
    """Whether the graph works in 16 bits, which a CPU must be made to show."""
    searched: bool = False
    """Whether what is not quantized is found by measuring, product by product."""

    @property
    def code(self) -> tuple[str, ...]:
        """This package's files that the result depends on."""
        module = self.function.partition(":")[0]
        shared = ("precision.py", "smooth.py", "modelopt_apart.py", "half.py", f"{module}.py")
        return ("leave_out.py", *(f"stages/{file}" for file in shared))


@dataclass(frozen=True)
class Target:
    """A kind of server."""

    backend: str
    """Triton's, which a server must have."""
    artefact: str
    """The engine's file, which the target's configuration names; a plan is named by its GPU too."""
    routes: Mapping[Precision, tuple[Route, ...]]
    """By precision, what is tried in turn until the gate is passed; nothing where the FP32 graph serves as it is."""
    chooses: bool = False
    """Whether the fastest of several runtimes is found by measuring."""
    plan: bool = False
    """Whether TensorRT builds a plan from that graph, which needs the GPU that will run it."""


_MODELOPT = ("onnx", "onnxruntime", "nvidia-modelopt")

_GPU_ROUTES: dict[Precision, tuple[Route, ...]] = {
    "fp32": (),
    "fp16": (Route("gpu_precision:fp16_from_onnx", packages=_MODELOPT, simulated=True),),
    "bf16": (Route("gpu_precision:bf16_from_onnx", packages=(*_MODELOPT, "onnxscript"), simulated=True),),
    "int8": (Route("gpu_precision:int8_from_onnx", packages=_MODELOPT, simulated=True, searched=True),),
}
_ONNXRUNTIME_ROUTES: dict[Precision, tuple[Route, ...]] = {
    precision: routes for precision, routes in _GPU_ROUTES.items() if precision != "bf16"
}

TARGETS: dict[TargetName, Target] = {
    "cpu": Target(
        backend="python",
        artefact="model.cpu.onnx",
        chooses=True,
        # 16 bits are the runtime's affair: the file stays FP32, and a CPU that has BF16 works in it.
        routes={
            "fp32": (),
            "fp16": (),
            "bf16": (),
            "int8": tuple(Route("precision:int8_from_onnx", row) for row in (None, *LEAVE_OUT)),
        },
    ),
    "onnxruntime": Target(backend="onnxruntime", artefact="model.onnx", routes=_ONNXRUNTIME_ROUTES),
    "tensorrt": Target(backend="tensorrt", artefact="model.plan", routes=_GPU_ROUTES, plan=True),
}
