"""Read from a built engine what its precision really is: TensorRT may keep a layer in FP32 whatever the graph says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tritonsmith_build.errors import SmithError

if TYPE_CHECKING:
    import tensorrt

# TensorRT writes a tensor's type as a word ("Half") or inside a phrase ("Row major linear FP16 format").
_TYPES = {
    "int8": re.compile(r"\bint8\b", re.IGNORECASE),
    "bf16": re.compile(r"\b(bfloat16|bf16)\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(half|float16|fp16)\b", re.IGNORECASE),
    "fp32": re.compile(r"\b(float|float32|fp32)\b", re.IGNORECASE),
}
_BYTES = {"int8": 1, "bf16": 2, "fp16": 2, "fp32": 4}
# What a claim must be worth. A tenth of the layers in INT8 is low because each product's neighbours (softmax, norms,
# casts) stay in 16 bits; at that share and above the products' own share is what the graph's proof says.
_LEAST_SHARE = {"fp16": 0.5, "bf16": 0.5, "int8": 0.1}
_NETWORK_NAMES = {"fp16": "HALF", "bf16": "BF16", "int8": "INT8"}
_LEAST_PRODUCTS = {"fp16": 0.5, "bf16": 0.5, "int8": 0.3}
_LARGEST_FP32_SHARE = 0.5
_LARGEST_SIZE = 0.9
"""Of the FP32 graph's: what holds its weights in 16 bits is half as large."""
_WEIGHTS_OUTWEIGH = 50_000_000
"""Bytes of an FP32 graph from which on weights, not kernels, make a plan's size."""


def layers_of(trt: Any, engine: tensorrt.ICudaEngine) -> list[dict[str, Any]]:
    """Every layer as TensorRT's inspector describes it. Raises SmithError where the engine was built without details."""
    inspector: tensorrt.EngineInspector = engine.create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))["Layers"]
    if not layers or not all(isinstance(layer, dict) for layer in layers):
        fix = "build it with detailed profiling verbosity, as tritonsmith build does"
        raise SmithError("the engine's layers have no details", where="TensorRT's inspector", fix=fix)
    return layers  # type: ignore[no-any-return]


def shares(layers: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """``layers``: the share of layers that compute in each type; ``weight_bytes``: the bytes of weights held in each.

    A layer computes in the smallest of its inputs' types; one that only handles integers and flags counts nowhere.
    TensorRT names the weights of some layers only, so the bytes are a part.
    """
    counts: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for layer in layers:
        kinds = {kind for tensor in layer.get("Inputs", ()) if (kind := _kind(str(tensor.get("Format/Datatype", ""))))}
        if kinds:
            counts[min(kinds, key=_BYTES.__getitem__)] += 1
        for part in ("Weights", "Bias"):
            held = layer.get(part)
            if isinstance(held, Mapping) and (kind := _kind(str(held.get("Type", "")))):
                weights[kind] += int(held.get("Count", 0)) * _BYTES[kind]
    total = sum(counts.values()) or 1
    return {
        "layers": {kind: round(count / total, 4) for kind, count in sorted(counts.items())},
        "weight_bytes": dict(sorted(weights.items())),
    }


def _kind(said: str) -> str | None:
    return next((kind for kind, words in _TYPES.items() if words.search(said)), None)


def check_network(precision: str, products: Mapping[str, int]) -> None:
    """Raise SmithError where a parsed network's products, counted by TensorRT's name of a type, are not of that precision."""
    if precision == "fp32":
        return
    share = products.get(_NETWORK_NAMES[precision], 0) / (sum(products.values()) or 1)
    if share < _LEAST_PRODUCTS[precision]:
        what = f"{share:.0%} of the network's products are in {precision}"
        raise SmithError(
            what, where="TensorRT's network", fix="nothing was replaced. See `weights` in the manifest of onnxruntime"
        )


def check_precision(
    precision: str, found: Mapping[str, Mapping[str, float]], *, plan_bytes: int, fp32_bytes: int, whole: bool = True
) -> None:
    """Raise SmithError where an engine is not what it is called. ``whole`` is false for a plan that carries a runtime too."""
    if precision == "fp32":
        return
    layers = found["layers"]
    problems = []
    if layers.get(precision, 0.0) < _LEAST_SHARE[precision]:
        problems.append(f"{layers.get(precision, 0.0):.0%} of its layers compute in {precision}")
    if layers.get("fp32", 0.0) > _LARGEST_FP32_SHARE:
        problems.append(f"{layers['fp32']:.0%} of its layers compute in fp32")
    if whole and fp32_bytes >= _WEIGHTS_OUTWEIGH and plan_bytes > _LARGEST_SIZE * fp32_bytes:
        problems.append(f"it has {plan_bytes / 1e6:.0f} MB, the FP32 graph {fp32_bytes / 1e6:.0f} MB")
    if problems:
        fix = "nothing was replaced. Report it with the versions in `tritonsmith doctor`"
        raise SmithError(f"the engine is not {precision}: {', '.join(problems)}", where="TensorRT's inspector", fix=fix)
