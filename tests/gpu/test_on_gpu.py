"""On a GPU with TensorRT: a plan of each precision is what it is called, answers as PyTorch does, and is served."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from served import ROOT, serving
from tritonsmith import Client
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.host import GpuHost
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.progress import Progress
from tritonsmith_build.server.install import TritonInstall
from tritonsmith_build.server.plans import host as this_host
from tritonsmith_build.server.plans import plan_problem
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.tables import Precision

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, host: GpuHost) -> Callable[[str, Precision], Path]:
    """A repository with one pipeline's plan, and what its manifest says in ``manifest.json`` as ever."""

    @cache
    def made(name: str, precision: Precision) -> Path:
        (spec,) = specs_named([name], ROOT / "pipelines")
        folder = tmp_path_factory.mktemp(f"{name}-{precision}")
        options: dict[str, Any] = {"cache": StageCache.default(), "progress": Progress(Console(stderr=True))}
        build_pipeline(spec, repository=folder, precision=precision, target="tensorrt", host=host, **options)
        return folder

    return made


def plan_of(repository: Path, name: str, host: GpuHost) -> dict[str, Any]:
    from tritonsmith_build.repository import read_manifest

    manifest = read_manifest(repository / f"{name}_engine" / "1")
    assert manifest is not None
    plan: dict[str, Any] = manifest["targets"]["tensorrt"]["plans"][host.gpu.compute_capability]
    return plan


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["sentiment", "embeddings"])
def test_a_plan_is_what_it_is_called_and_answers_as_pytorch(
    repository: Callable[[str, Precision], Path], host: GpuHost, name: str, precision: Precision
) -> None:
    plan = plan_of(repository(name, precision), name, host)
    near = plan["gate"].get("agreement", plan["gate"].get("cosine"))
    assert near >= (0.999 if precision != "int8" else 0.98)
    assert all(row["not_finite"] == 0 for row in plan["verify"])
    if precision != "fp32":
        assert plan["layers"].get(precision, 0) > 0
        fp32 = plan_of(repository(name, "fp32"), name, host)
        assert plan["plan_bytes"] < 0.75 * fp32["plan_bytes"]
    assert plan_problem({host.gpu.compute_capability: plan}, this_host()) is None or this_host().tensorrt is None


def test_a_full_batch_is_faster_a_text_than_one_alone(repository: Callable[[str, Precision], Path], host: GpuHost) -> None:
    speed = plan_of(repository("embeddings", "fp16"), "embeddings", host)["speed"]
    for shape in {row["shape"] for row in speed}:
        rates = [row["items_per_s"] for row in speed if row["shape"] == shape]
        assert rates[-1] > 2 * rates[0]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_plan_is_served(repository: Callable[[str, Precision], Path], tmp_path: Path, precision: Precision) -> None:
    try:
        if "tensorrt" not in TritonInstall.found().backend_names:
            pytest.skip("this machine's Triton has no TensorRT backend: run it in the image of docs/containers.md")
    except SmithError as lacking:
        pytest.skip(lacking.what)
    folder = repository("sentiment", precision)
    with serving(folder, tmp_path / "log", "--target=tensorrt") as served, Client(served.grpc) as client:
        answers = client.pipeline("sentiment")(["A delight from start to finish.", "A waste of two hours."] * 40)
        assert [answer["label"] for answer in answers] == ["POSITIVE", "NEGATIVE"] * 40


def test_a_plan_for_another_gpu_is_refused(repository: Callable[[str, Precision], Path], host: GpuHost, tmp_path: Path) -> None:
    folder = shutil.copytree(repository("sentiment", "fp16"), tmp_path / "repository")
    manifest = folder / "sentiment_engine" / "1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"{host.gpu.compute_capability}": {{', '"6.1": {'))
    from tritonsmith_build.server.preflight import pipelines_in

    with pytest.raises(SmithError, match="no plan for compute capability"):
        pipelines_in(folder, "tensorrt", {"tensorrt"})
