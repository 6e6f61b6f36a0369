"""What is said where a plan cannot be built, before anything is begun."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu import host as gpu
from tritonsmith_build.server import plans
from tritonsmith_build.server.plans import Gpu
from workbench import Workplace, snapshot

L4 = Gpu("NVIDIA L4", "8.9", "580.95.05")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this machine one with a GPU and TensorRT, but for what a test takes away."""

    def made(
        *, gpus: tuple[Gpu, ...] = (L4,), tensorrt: str | None = "11.2.1.2", torch_version: str = "2.13.0", cuda: str = "13.0"
    ) -> None:
        monkeypatch.setattr(gpu, "gpus", lambda: gpus)
        found = importlib.util.find_spec
        hidden = {"tensorrt": object() if tensorrt else None, "tensorrt_bindings": None}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: hidden[name] if name in hidden else found(name))
        monkeypatch.setattr(gpu.importlib, "import_module", lambda name: SimpleNamespace(__version__=tensorrt))
        known = metadata.version
        monkeypatch.setattr(metadata, "version", lambda name: torch_version if name == "torch" else known(name))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.version, "cuda", cuda)

    return made


LACKING: dict[str, tuple[dict[str, Any], str]] = {
    "no GPU": ({"gpus": ()}, "lacks an NVIDIA GPU"),
    "no TensorRT": ({"tensorrt": None}, "TensorRT's Python module (pip install 'tritonsmith[gpu]')"),
    "PyTorch for CPUs": ({"torch_version": "2.13.0+cpu"}, "PyTorch with CUDA"),
    "TensorRT 10.3": ({"tensorrt": "10.3.0"}, "TensorRT 10.3.0 is older than 10.16"),
}


@pytest.mark.parametrize(("missing", "said"), LACKING.values(), ids=LACKING.keys())
def test_what_is_missing_is_said_with_what_to_do(machine: Callable[..., None], missing: dict[str, Any], said: str) -> None:
    machine(**missing)
    with pytest.raises(SmithError) as refused:
        gpu.gpu_host()
    assert said in str(refused.value)
    assert "docker compose" in str(refused.value)
    assert "--target onnxruntime" in str(refused.value)


@pytest.mark.parametrize(("cuda", "driver"), [("13.0", "580.65.06"), ("12.8", "525.60.13")])
def test_a_machine_with_all_of_it_is_a_host(machine: Callable[..., None], cuda: str, driver: str) -> None:
    machine(cuda=cuda)
    host = gpu.gpu_host()
    assert (host.gpu, host.tensorrt, host.plan_name, host.driver_at_least) == (L4, "11.2.1.2", "model.sm89.plan", driver)


def test_everything_missing_is_said_at_once(machine: Callable[..., None]) -> None:
    machine(gpus=(), tensorrt=None, torch_version="2.13.0+cpu")
    with pytest.raises(SmithError, match=r"GPU.* and TensorRT's .* and PyTorch with CUDA"):
        gpu.gpu_host()


def test_a_build_is_refused_before_any_work_and_leaves_all_as_it_was(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpus", lambda: ())
    before, cached = place.published(), snapshot(place.cache)
    start = time.perf_counter()
    with pytest.raises(SmithError, match="--target tensorrt: this machine lacks"):
        place.build(target="tensorrt")
    assert time.perf_counter() - start < 10
    assert (place.published(), snapshot(place.cache)) == (before, cached)


def test_tensorrt_is_imported_in_one_place_alone() -> None:
    package = Path(gpu.__file__).parents[1]
    importing = [
        file.relative_to(package).as_posix()
        for file in sorted(package.rglob("*.py"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith(("import tensorrt", "from tensorrt")) or "import_module(name)" in line
    ]
    assert importing == ["gpu/host.py"]


def test_make_gpu_on_a_machine_without_one_is_a_line_and_no_failure(tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU: make gpu would measure it")
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    project = Path(__file__).parents[2]
    made = subprocess.run(["make", "gpu"], cwd=project, env=outside, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout, made.stderr) == (0, f"{gpu.NO_GPU}\n", "")


def test_the_report_on_a_machine_without_a_gpu_is_the_same_line(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "gpus", lambda: ())
    ran = cli("gpu-report", "sentiment")
    assert (ran.code, ran.out.strip()) == (0, gpu.NO_GPU)
