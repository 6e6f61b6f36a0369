"""The GPU graphs of both real pipelines and of tiny models, parsed and built by TensorRT-RTX, which needs no GPU for that."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorrt_rtx as trt
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from tiny_models import POSITIONS, sentences
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.plan import network_types, plan_from_onnx
from tritonsmith_build.gpu.profiles import Profile, profiles_for
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.progress import Progress
from tritonsmith_build.spec import Precision
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.stages.gpu_precision import fp16_from_onnx, int8_from_onnx
from tritonsmith_build.stages.proof import weight_shares
from workbench import Exported

PIPELINES = Path(__file__).parents[2] / "pipelines"
LAYERS = 6  # of MiniLM: in each 6 products by a weight, of which one reads a GELU, and 2 of two activations
PRODUCTS: dict[Precision, dict[str, int]] = {
    "fp32": {"FLOAT": 8 * LAYERS},
    "fp16": {"HALF": 8 * LAYERS},
    "int8": {"INT8": 5 * LAYERS, "HALF": 3 * LAYERS},
}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
HEAD = {"sentiment": 2, "embeddings": 0}  # pooler and classifier


def for_ampere(config: Any) -> None:
    """Without a GPU the builder must be told which one is meant."""
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)


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


@pytest.mark.parametrize("precision", PRODUCTS)
@pytest.mark.parametrize("name", HEAD)
def test_a_real_pipelines_graph_is_built_with_its_profiles_in_its_precision(
    graph: Callable[[str, Precision], Path], name: str, precision: Precision
) -> None:
    content = graph(name, precision).read_bytes()
    expected = dict(PRODUCTS[precision])
    rest = "FLOAT" if precision == "fp32" else "HALF"
    expected[rest] += HEAD[name]
    assert network_types(trt, content) == expected
    plan = plan_from_onnx(trt, content, profiles_for(INPUTS, (16, 64, 128), 32), configure=for_ampere)
    assert len(plan) > 10_000_000


@pytest.mark.parametrize("name", HEAD)
def test_at_least_60_percent_of_a_real_pipelines_products_are_int8(graph: Callable[[str, Precision], Path], name: str) -> None:
    shares = weight_shares(graph(name, "int8"))
    assert shares["int8"] >= 0.6
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert weight_shares(graph(name, "fp16")) == {"float16": 1.0}


@pytest.mark.parametrize("name", ["bert-2", "distilbert-5", "roberta-3", "mean"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_tiny_models_graph_is_built_and_answers_nearly_the_same(
    exported: Callable[[str], Exported], tmp_path: Path, name: str, precision: str
) -> None:
    case, made = exported(name), tmp_path / "model.onnx"
    texts = sentences(40, seed=3)
    data = [case.batch([text]) for text in texts]
    if precision == "fp16":
        fp16_from_onnx(case.file, made, data)
    else:
        int8_from_onnx(case.file, made, data, leave_out="after GELU")
    import onnxruntime

    before, after = (onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]) for file in (case.file, made))
    padded = case.batch(texts, length=32)
    padded["attention_mask"][0] = 0  # a row of padding alone, as a batch filled up has
    expected, actual = before.run(None, padded)[0], after.run(None, padded)[0]
    assert np.isfinite(actual).all()
    assert np.corrcoef(expected[1:].ravel(), actual[1:].ravel())[0, 1] > 0.99
    plan_from_onnx(trt, made.read_bytes(), profiles_for(padded, (16, 32), 4), configure=for_ampere)


# What must be caught before a GPU sees it


def graph_of(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray[Any, Any]], kind: int = TensorProto.FLOAT) -> bytes:
    made = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("x", kind, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()


WEIGHT = np.ones((4, 4), np.float32)
ODD = {
    "types mixed into a product": graph_of(
        helper.make_node("MatMul", ["x", "w"], ["y"], name="mixed"), constants={"w": WEIGHT.astype(np.float16)}
    ),
    "asymmetric quantization": graph_of(
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="asymmetric"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        constants={"s": np.float32(0.1), "z": np.int8(5)},
    ),
    "an operation it does not have": graph_of(helper.make_node("StringNormalizer", ["x"], ["y"], name="unknown"), constants={}),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_a_graph_that_tensorrt_cannot_take_is_an_error_with_its_words(content: bytes) -> None:
    with pytest.raises(SmithError, match="TensorRT"):
        plan_from_onnx(trt, content, [Profile({"x": (4,)}, 1, 2)], configure=for_ampere)


def test_a_missing_profile_is_an_error(exported: Callable[[str], Exported]) -> None:
    with pytest.raises(SmithError, match="no optimization profile has been defined"):
        plan_from_onnx(trt, exported("bert-2").file.read_bytes(), [], configure=for_ampere)


def test_a_profile_beyond_the_models_positions_is_an_error(exported: Callable[[str], Exported]) -> None:
    with pytest.raises(SmithError, match="TensorRT"):
        plan_from_onnx(
            trt, exported("bert-2").file.read_bytes(), profiles_for(INPUTS, [POSITIONS + 1], 4), configure=for_ampere
        )


def test_there_is_a_profile_a_bucket() -> None:
    assert profiles_for(["ids"], (16, 128), 32) == [Profile({"ids": (16,)}, 8, 32), Profile({"ids": (128,)}, 8, 32)]
    assert profiles_for(["ids"], (16,), 1) == [Profile({"ids": (16,)}, 1, 1)]
    assert Profile({"pixels": (3, 8, 8)}, 2, 4).range_of("pixels") == ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
