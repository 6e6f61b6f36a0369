"""Whether a TensorRT plan can load on this host. Standard library only: a server's image has little else."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")
_AMPERE = (8, 0)
_NVIDIA_SMI_SECONDS = 20


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its driver describes it."""

    name: str
    compute_capability: str
    driver: str


@dataclass(frozen=True)
class Host:
    """What decides whether a plan loads."""

    gpus: tuple[Gpu, ...]
    tensorrt: str | None
    """The version of the libraries that a server loads, None where there are none."""


@functools.cache
def host() -> Host:
    """This machine: its GPUs from ``nvidia-smi``, TensorRT's version from its library."""
    return Host(gpus(), tensorrt_version())


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that the driver shows, none where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        reply = subprocess.run(query, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True)
    except (subprocess.SubprocessError, OSError):
        return ()
    return tuple(Gpu(*(part.strip() for part in line.rsplit(",", 2))) for line in reply.stdout.splitlines() if line.strip())


def tensorrt_version() -> str | None:
    """``major.minor.patch`` of the TensorRT library on the loader's path."""
    for name in _LIBRARIES:
        with contextlib.suppress(OSError, AttributeError):
            return version_from_number(ctypes.CDLL(name).getInferLibVersion())
    return None


def version_from_number(number: int) -> str:
    """What ``getInferLibVersion`` means: two digits each for minor and patch, as TensorRT counts since 10.

    >>> version_from_number(101601)
    '10.16.1'
    """
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def plan_problem(plans: Mapping[str, Any], here: Host) -> str | None:
    """Why a GPU of this host could not load one of a pipeline's plans (by compute capability), None where all can."""
    if not here.gpus:
        return "no GPU is to be seen here (nvidia-smi shows none)"
    for gpu in here.gpus:
        plan = plan_for(plans, gpu.compute_capability)
        if plan is None:
            return f"no plan for compute capability {gpu.compute_capability} ({gpu.name}), only for {', '.join(plans)}"
        if problem := _version_problem(plan, here.tensorrt) or _driver_problem(plan, gpu):
            return problem
    return None


def plan_for(plans: Mapping[str, Any], compute_capability: str) -> Any:
    """The plan that a GPU loads: its own, or else one built to run on newer GPUs too; None where there is none."""
    if compute_capability in plans:
        return plans[compute_capability]
    if _numbers(compute_capability) < _AMPERE:
        return None
    return next((plan for plan in plans.values() if plan["hardware_compatible"] == "ampere_plus"), None)


def _version_problem(plan: Mapping[str, Any], running: str | None) -> str | None:
    if running is None:
        return f"no TensorRT library is to be found here; the plan wants {plan['tensorrt']}"
    built, here = _numbers(plan["tensorrt"])[:3], _numbers(running)[:3]
    if here == built or (plan["version_compatible"] and here[0] == built[0] and here > built):
        return None
    return f"{plan['file']} was built by TensorRT {plan['tensorrt']}, this server has {running}"


def _driver_problem(plan: Mapping[str, Any], gpu: Gpu) -> str | None:
    if _numbers(gpu.driver) >= _numbers(plan["driver_at_least"]):
        return None
    return f"{plan['file']} wants driver {plan['driver_at_least']} or newer, {gpu.name} has {gpu.driver}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
