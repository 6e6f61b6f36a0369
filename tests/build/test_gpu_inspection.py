"""What an engine really computes in, read from TensorRT's own description of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from standin import layer
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.inspection import check_network, check_precision, layers_of, shares

WORDS = {
    "Half": "fp16",
    "FP16": "fp16",
    "Row major linear FP16 format": "fp16",
    "Channel major FP16 format where channel % 8 == 0": "fp16",
    "Float": "fp32",
    "Row major linear FP32": "fp32",
    "BFloat16": "bf16",
    "Row major linear BFloat16 format": "bf16",
    "Int8": "int8",
    "Thirty-two wide channel vectorized row major Int8 format": "int8",
}


@pytest.mark.parametrize(("word", "kind"), WORDS.items())
def test_tensorrts_words_for_a_type_are_known(word: str, kind: str) -> None:
    assert shares([layer(word)])["layers"] == {kind: 1.0}


@pytest.mark.parametrize("word", ["Int32", "Row major linear Int64 format", "Bool", "UInt8", ""])
def test_integers_and_flags_count_nowhere(word: str) -> None:
    assert shares([layer(word)])["layers"] == {}


def test_a_layer_computes_in_its_smallest_input_type() -> None:
    mixed = layer("Half")
    mixed["Inputs"] = [*layer("Float")["Inputs"], *layer("Int8")["Inputs"], *layer("Int32")["Inputs"]]
    assert shares([mixed, layer("Float"), layer("Float"), layer("Half")])["layers"] == {"fp16": 0.25, "fp32": 0.5, "int8": 0.25}


def test_bytes_of_weights_are_added_up_by_type() -> None:
    first = layer("Int8") | {"Weights": {"Type": "Int8", "Count": 100}, "Bias": {"Type": "Float", "Count": 10}}
    second = layer("Half") | {"Weights": {"Type": "Half", "Count": 50}}
    assert shares([first, second, layer("Half")])["weight_bytes"] == {"fp16": 100, "fp32": 40, "int8": 100}


CLAIMS: dict[str, tuple[str, dict[str, float], float, str | None]] = {
    "fp16": ("fp16", {"fp16": 0.9, "fp32": 0.1}, 0.5, None),
    "bf16": ("bf16", {"bf16": 0.8, "fp32": 0.2}, 0.5, None),
    "int8": ("int8", {"int8": 0.3, "fp16": 0.6, "fp32": 0.1}, 0.4, None),
    "fp32 claims nothing": ("fp32", {"fp32": 1.0}, 1.0, None),
    "fp16 that is fp32": ("fp16", {"fp32": 1.0}, 0.5, "0% of its layers compute in fp16, 100% of its layers compute in fp32"),
    "fp16 that is bf16": ("fp16", {"bf16": 1.0}, 0.5, "0% of its layers compute in fp16"),
    "int8 that is fp16": ("int8", {"fp16": 0.99, "int8": 0.01}, 0.5, "1% of its layers compute in int8"),
    "int8 mostly fp32": ("int8", {"int8": 0.3, "fp32": 0.7}, 0.4, "70% of its layers compute in fp32"),
    "weights kept in fp32": ("fp16", {"fp16": 1.0}, 1.0, "it has 100 MB, the FP32 graph 100 MB"),
}


@pytest.mark.parametrize(("precision", "found", "size", "problem"), CLAIMS.values(), ids=CLAIMS.keys())
def test_a_claim_of_precision_is_checked(precision: str, found: dict[str, float], size: float, problem: str | None) -> None:
    def check() -> None:
        check_precision(precision, {"layers": found}, plan_bytes=int(size * 1e8), fp32_bytes=100_000_000)

    if problem is None:
        check()
    else:
        with pytest.raises(SmithError) as refused:
            check()
        assert f"the engine is not {precision}: " in str(refused.value)
        assert problem in str(refused.value)


def test_a_plan_that_carries_its_runtime_may_be_larger() -> None:
    check_precision("fp16", {"layers": {"fp16": 1.0}}, plan_bytes=150_000_000, fp32_bytes=100_000_000, whole=False)


def test_a_small_models_plan_is_mostly_kernels() -> None:
    check_precision("fp16", {"layers": {"fp16": 1.0}}, plan_bytes=5_000_000, fp32_bytes=500_000)


@pytest.mark.parametrize(
    ("precision", "products", "held"),
    [
        ("fp16", {"HALF": 50}, True),
        ("fp16", {"HALF": 20, "FLOAT": 30}, False),
        ("int8", {"INT8": 30, "HALF": 20}, True),
        ("int8", {"INT8": 1, "HALF": 49}, False),
        ("bf16", {"HALF": 50}, False),
        ("fp32", {"FLOAT": 50}, True),
        ("fp16", {}, False),
    ],
)
def test_a_network_is_checked_before_it_is_built(precision: str, products: dict[str, int], held: bool) -> None:
    if held:
        check_network(precision, products)
    else:
        with pytest.raises(SmithError, match=f"of the network's products are in {precision}"):
            check_network(precision, products)


def inspected(information: Any) -> Any:
    inspector = SimpleNamespace(get_engine_information=lambda form: json.dumps(information))
    return SimpleNamespace(create_engine_inspector=lambda: inspector)


def test_an_engine_without_details_is_no_proof() -> None:
    trt = SimpleNamespace(LayerInformationFormat=SimpleNamespace(JSON=1))
    assert layers_of(trt, inspected({"Layers": [layer("Half")]})) == [layer("Half")]
    for information in ({"Layers": ["gemm_1", "gemm_2"]}, {"Layers": []}):
        with pytest.raises(SmithError, match="no details"):
            layers_of(trt, inspected(information))
