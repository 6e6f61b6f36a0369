"""The GPU graphs of both real pipelines, parsed and built by TensorRT-RTX, which needs no GPU for that."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx as trt
from rich.console import Console
from tensorrt_support import for_ampere
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.gpu.plan import network_types, plan_from_onnx
from tritonsmith_build.gpu.profiles import profiles_for
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.progress import Progress
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.stages.proof import weight_shares
from tritonsmith_build.tables import Precision
from workbench import shapes_of

PIPELINES = Path(__file__).parents[2] / "pipelines"
LAYERS = 6  # of MiniLM: in each 6 products by a weight and 2 of two activations
PRECISIONS: dict[Precision, str] = {"fp32": "FLOAT", "fp16": "HALF", "int8": "HALF"}
"""With what TensorRT calls the type of a product that is not INT8."""
GROUPS = {"before attention": 3, "after attention": 1, "before GELU": 1, "after GELU": 1}
"""How many products of a layer are quantized together or not at all."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
HEAD = {"sentiment": 2, "embeddings": 0}  # pooler and classifier


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Precision], Path]:
    """The published model.onnx of a real pipeline, gated on ONNX Runtime as every build is."""

    @cache
    def made(name: str, precision: Precision) -> Path:
        (spec,) = specs_named([name], PIPELINES)
        repository = tmp_path_factory.mktemp(f"{name}-{precision}")
        progress = Progress(Console(stderr=True))
        options: dict[str, Any] = {"repository": repository, "cache": StageCache.default(), "progress": progress}
        build_pipeline(spec, target="onnxruntime", precision=precision, **options)
        return repository / f"{name}_engine" / "1" / "model.onnx"

    return made


def not_quantized(file: Path) -> int:
    """How many of a layer's products by a weight the manifest beside ``file`` says INT8 leaves out."""
    record = json.loads((file.parent / "manifest.json").read_text())["targets"]["onnxruntime"]
    return sum(GROUPS[name.partition(",")[0]] for name in record["not_quantized"])


# The two differ in their heads alone; a build takes a minute or two, so one precision of one is tried at every change.
OTHER = pytest.param("embeddings", marks=pytest.mark.full)
CASES = [
    *(pytest.param("sentiment", precision, marks=pytest.mark.full if precision != "fp16" else ()) for precision in PRECISIONS),
    *(pytest.param("embeddings", precision, marks=pytest.mark.full) for precision in PRECISIONS),
]


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_real_pipelines_graph_is_built_with_its_profiles_in_its_precision(
    graph: Callable[[str, Precision], Path], name: str, precision: Precision
) -> None:
    file = graph(name, precision)
    content, total = file.read_bytes(), 8 * LAYERS + HEAD[name]
    int8 = 6 * LAYERS - not_quantized(file) if precision == "int8" else 0
    assert network_types(trt, content) == {**({"INT8": int8} if int8 else {}), PRECISIONS[precision]: total - int8}
    plan = plan_from_onnx(trt, content, profiles_for(shapes_of(INPUTS, (16, 64, 128)), 32), configure=for_ampere)
    assert len(plan) > 10_000_000


@pytest.mark.full
@pytest.mark.parametrize("name", HEAD)
def test_at_least_60_percent_of_a_real_pipelines_products_are_int8(graph: Callable[[str, Precision], Path], name: str) -> None:
    shares = weight_shares(graph(name, "int8"))
    assert shares["int8"] >= 0.6
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["sentiment", OTHER])
def test_all_of_a_real_pipelines_products_are_fp16(graph: Callable[[str, Precision], Path], name: str) -> None:
    assert weight_shares(graph(name, "fp16")) == {"float16": 1.0}
