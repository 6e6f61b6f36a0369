"""One vector a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tritonsmith_build.errors import SmithError
from tritonsmith_build.stages.beside import json_in
from tritonsmith_build.tables import Count, Flag, Gate, Pooling, Share, Table, TextSpec
from tritonsmith_build.task import TEXT, Task, Tensor, TextModel, option

_POOLING: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class Side:
    """How texts become vectors where they are one side of a model that compares them with images."""

    width: int
    fill: int = 0
    """Tokens of every row, as ``TextFacts`` has it."""


SIDES: Mapping[str, Callable[[Any], Side]] = {
    "clip": lambda config: Side(config.projection_dim),
    "siglip": lambda config: Side(config.text_config.projection_size, config.text_config.max_position_embeddings),
}
"""By a model's type, from its configuration. Every text of SigLIP was filled up to the last position, and its vector is that of
this position (Zhai et al. 2023)."""


class EmbedGate(Gate):
    """What a build of an embedding model must prove against FP32: cosine similarity, mean and first percentile."""

    min_cosine: Share = 0.985
    min_cosine_p01: Share = 0.97


class EmbedOutput(Table):
    """How token vectors become one, where the model's own way is not wanted."""

    pooling: Pooling | None = None
    normalize: Flag | None = None
    truncate_dim: Count | None = None


class FeatureExtraction(TextSpec):
    """A pipeline that turns a text into one vector."""

    task: Literal["feature-extraction"]
    output: EmbedOutput = EmbedOutput()
    gate: EmbedGate = EmbedGate()


def facts(model: TextModel[FeatureExtraction]) -> dict[str, Any]:
    """Pooling and normalization as sentence-transformers' files beside the model define them, else mean and none."""
    spec, folder, config = model.spec, model.folder, model.config
    modules = [entry["type"].rpartition(".")[2] for entry in json_in(folder / "modules.json", default=[])]
    if unknown := [module for module in modules if module not in ("Transformer", "Pooling", "Normalize")]:
        fix = "only Transformer, Pooling and Normalize can be served"
        raise SmithError(f"modules.json has {unknown[0]}", where=f"{spec.file}: source", fix=fix)
    pooling = _own_pooling(model) or spec.output.pooling or _pooling(spec, folder)
    normalize = spec.output.normalize if spec.output.normalize is not None else "Normalize" in modules
    side = SIDES[config.model_type](config) if pooling == "model" and not model.pools else Side(config.hidden_size)
    if side.fill and model.tokenizer.padding_side != "right":
        fix = "give a model whose tokenizer pads on the right"
        raise SmithError(f"texts of {config.model_type} are filled up on the left", where=f"{spec.file}: source", fix=fix)
    kept, width = spec.output.truncate_dim, side.width
    if kept and kept > width:
        fix = f"set truncate_dim <= {width}"
        raise SmithError(f"a vector has {width} values", where=f"{spec.file}: output.truncate_dim", fix=fix)
    return {
        "width": width,
        "pooling": pooling,
        "normalize": normalize,
        "truncate_dim": kept,
        # As sentence-transformers: the model's own scaling comes before vectors are cut, one that is asked for after.
        "normalize_again": bool(kept and spec.output.normalize),
        "fill": side.fill,
        **_prompts(folder),
    }


def _own_pooling(model: TextModel[FeatureExtraction]) -> Literal["model"] | None:
    """Whether texts are one side of a model that compares them with images, or a graph's, made vectors as it does it itself."""
    spec, config = model.spec, model.config
    if not (model.pools or hasattr(config, "vision_config")):
        return None
    if not model.pools and config.model_type not in SIDES:
        fix = f"only those of {' and '.join(SIDES)} can be served"
        raise SmithError(f"texts of {config.model_type} are made vectors in its own way", where=f"{spec.file}: source", fix=fix)
    if spec.output.pooling:
        fix = "leave it out"
        raise SmithError("the model pools by itself", where=f"{spec.file}: output.pooling", fix=fix)
    return "model"


def _prompts(folder: Path) -> dict[str, Any]:
    said = json_in(folder / "config_sentence_transformers.json")
    prompts = {name: prompt for name, prompt in (said.get("prompts") or {}).items() if prompt}
    name = said.get("default_prompt_name")
    return {"prompts": prompts, "prompt": name if name in prompts else None}


def _pooling(spec: TextSpec, folder: Path) -> Pooling:
    said = json_in(folder / "1_Pooling" / "config.json")
    modes = [key for key, value in said.items() if key.startswith("pooling_mode_") and value is True]
    if "pooling_mode" in said:  # as sentence-transformers 6 writes it
        mode = said["pooling_mode"]
        written = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
        modes = [f"pooling_mode_{written.get(mode, mode)}"]
    if modes and (len(modes) > 1 or modes[0] not in _POOLING):
        fix = f"set output.pooling to one of {', '.join(get_args(Pooling))} if that is close enough for you"
        raise SmithError(f"pools by {' and '.join(modes)}", where=f"{spec.file}: source", fix=fix)
    return _POOLING[modes[0]] if modes else "mean"


TASK = Task(
    about="one vector a text",
    spec=FeatureExtraction,
    facts=facts,
    auto_model="AutoModel",
    # A BERT pooler feeds a [CLS] head; token vectors do not depend on it, so an encoder saved without one is whole.
    unneeded=lambda facts: ("pooler.",),
    reads="embed.prompted",
    inputs=(TEXT, option("PROMPT_NAME")),
    engine_output="pooled",
    figures="cosine",
    step="embed",
    answers=lambda facts: (Tensor("EMBEDDING", "TYPE_FP32", (facts.truncate_dim or facts.width,)),),
    step_settings=lambda facts: {
        "normalize": facts.normalize,
        **({"truncate_dim": facts.truncate_dim} if facts.truncate_dim else {}),
        **({"normalize_again": True} if facts.normalize_again else {}),
    },
)
