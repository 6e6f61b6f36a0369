"""TensorRT-RTX as a stand-in for TensorRT: it builds as TensorRT does and needs no GPU; only what runs a plan is lacking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorrt_rtx
import torch
from numpy.typing import NDArray
from tritonsmith_build.gpu import running
from tritonsmith_build.gpu.host import GpuHost
from tritonsmith_build.server.plans import Gpu

AMPERE = Gpu("stand-in for an A10", "8.6", "580.95.05")


def for_ampere(config: Any) -> None:
    """Without a GPU the builder must be told which one is meant."""
    config.num_compute_capabilities = 1
    config.set_compute_capability(tensorrt_rtx.ComputeCapability.SM86, 0)


def rtx_host(gpu: Gpu = AMPERE) -> GpuHost:
    """What builds plans of RTX's own format, which never enter a repository."""
    return GpuHost(tensorrt_rtx, gpu, "580.65.06", for_ampere)


class Renamed(ModuleType):
    """RTX's module under TensorRT's name, for what comes after the build."""

    __version__ = "11.2.1.2"

    def __getattr__(self, name: str) -> Any:
        return getattr(tensorrt_rtx, name)

    def __hash__(self) -> int:
        return hash(tensorrt_rtx)

    def __eq__(self, other: object) -> bool:
        return other is self or other is tensorrt_rtx


def layer(kind: str, name: str = "gemm") -> dict[str, Any]:
    """A layer as TensorRT's inspector describes it."""
    tensor = {"Name": "x", "Dimensions": [1, 16], "Format/Datatype": kind}
    return {"Name": name, "LayerType": "gemm", "Inputs": [tensor], "Outputs": [tensor]}


class FakeRunner:
    """What a GPU would answer, computed by ONNX Runtime from the plan's graph, with some error added."""

    graph: Path
    layers: Sequence[dict[str, Any]]
    error: float

    def __init__(self, trt: Any, plan: bytes, profiles: Sequence[Any]) -> None:
        self._session = onnxruntime.InferenceSession(self.graph, providers=["CPUExecutionProvider"])
        self._lengths = {length for profile in profiles for (length,) in profile.shapes.values()}
        information = json.dumps({"Layers": list(self.layers)})
        inspector = SimpleNamespace(get_engine_information=lambda form: information)
        self.engine = SimpleNamespace(create_engine_inspector=lambda: inspector)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        assert {array.shape[1] for array in batch.values()} <= self._lengths, "a batch of no profile's length"
        output: NDArray[np.float32] = self._session.run(None, batch)[0]
        return output + np.float32(self.error)

    def seconds(self, batch: dict[str, NDArray[Any]], runs: int) -> NDArray[np.float64]:
        return np.linspace(0.001, 0.002, runs)


def without_a_driver(
    monkeypatch: pytest.MonkeyPatch, graph: Path, *, layers: Sequence[dict[str, Any]], error: float = 0.0
) -> None:
    """Let what needs a driver be done by ONNX Runtime and PyTorch on the CPU."""
    faked = type("Faked", (FakeRunner,), {"graph": graph, "layers": layers, "error": error})
    monkeypatch.setattr(running, "PlanRunner", faked)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)


def tensorrt_host(gpu: Gpu = AMPERE) -> GpuHost:
    """A host whose module has TensorRT's name."""
    return GpuHost(Renamed("tensorrt"), gpu, "580.65.06", for_ampere)
