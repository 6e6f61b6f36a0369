"""The GPU that an engine is built for, and TensorRT's module: the only place that imports it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.plans import Gpu, gpus

if TYPE_CHECKING:
    import tensorrt

MODULES = ("tensorrt", "tensorrt_bindings")
"""By whose names TensorRT can be imported: its own wheel's, or the bindings' alone beside an image's libraries."""
OLDEST = (10, 16)
NO_GPU = "no GPU here (nvidia-smi shows none): nothing to measure"
# Any minor version of a CUDA runs on the first driver of its major one:
# docs.nvidia.com/deploy/cuda-compatibility, table "Minor Version Compatibility".
_DRIVERS = {"12": "525.60.13", "13": "580.65.06"}
_FIX = (
    "build where they are: docker compose run --rm build (docs/containers.md); "
    "without a GPU --target onnxruntime makes and proves the same graph"
)


@dataclass(frozen=True)
class GpuHost:
    """What an engine is built with and for."""

    trt: Any
    """TensorRT's module, or one that builds as it does."""
    gpu: Gpu
    driver_at_least: str
    """The oldest driver that runs what is built here."""
    configure: Callable[[tensorrt.IBuilderConfig], None] = lambda config: None
    """What this host alone sets on a builder's configuration."""

    @property
    def tensorrt(self) -> str:
        """TensorRT's version."""
        return str(self.trt.__version__)

    @property
    def plan_name(self) -> str:
        """A plan runs on one kind of GPU, and is named by it: ``model.sm90.plan``."""
        return f"model.sm{self.gpu.compute_capability.replace('.', '')}.plan"


def gpu_host() -> GpuHost:
    """This machine's first GPU with TensorRT. Raises SmithError with all that is missing, before anything is begun.

    Nothing of TensorRT is imported where no driver is: some of its wheels end the process then.
    """
    found = gpus()
    lacking = [] if found else ["an NVIDIA GPU with its driver (nvidia-smi shows none)"]
    name = next((module for module in MODULES if importlib.util.find_spec(module)), None)
    if name is None:
        lacking.append("TensorRT's Python module (pip install 'tritonsmith[gpu]')")
    if metadata.version("torch").endswith("+cpu"):
        lacking.append("PyTorch with CUDA (the one installed is for CPUs)")
    if lacking or name is None:
        raise SmithError(f"this machine lacks {' and '.join(lacking)}", where="--target tensorrt", fix=_FIX)
    try:
        trt = importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise SmithError(f"{name} cannot be imported ({error})", where="--target tensorrt", fix=_FIX) from None
    if tuple(int(part) for part in trt.__version__.split(".")[:2]) < OLDEST:
        what = f"TensorRT {trt.__version__} is older than {'.'.join(map(str, OLDEST))}"
        raise SmithError(what, where="--target tensorrt", fix=_FIX)
    return GpuHost(trt, found[0], _driver_at_least())


def _driver_at_least() -> str:
    import torch

    if not torch.cuda.is_available():
        what = f"PyTorch {torch.__version__} does not see the GPU"
        raise SmithError(what, where="--target tensorrt", fix="install one whose CUDA the driver has; nvidia-smi names it")
    return _DRIVERS[str(torch.version.cuda).partition(".")[0]]
