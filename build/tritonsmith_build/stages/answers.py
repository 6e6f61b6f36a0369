"""What a task's answers need of a model: its classes, its mask, how it pools. Read as transformers and its kin read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import Activation
from tritonsmith_build.spec import (
    FeatureExtraction,
    FillMask,
    PipelineSpec,
    Pooling,
    QuestionAnswering,
    TextClassification,
    TextRanking,
    TokenClassification,
    ZeroShotClassification,
)
from tritonsmith_build.stages.beside import json_in

_POOLING: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_SHARED = 128
"""Tokens that two windows share at most, of ``transformers.pipeline("question-answering")``."""


def answers_of(  # noqa: PLR0911 (a row a task)
    spec: PipelineSpec, folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, Any]:
    """What the spec's kind of answer needs of the model."""
    match spec:
        case TextClassification():
            classes = _classes(spec, config)
            return {**classes, "activation": _activation(config, classes["width"])}
        case TokenClassification():
            return {**_classes(spec, config), "ignored": spec.output.ignore_labels, **_words(tokenizer)}
        case ZeroShotClassification():
            return _entailment(spec, config)
        case TextRanking():
            return _ranking(spec, config)
        case QuestionAnswering():
            return {"width": 2, "stride": _stride(spec, max_length)}
        case FillMask():
            return _masks(spec, config, tokenizer)
        case FeatureExtraction():
            return _vector(spec, folder, config)


def _classes(spec: TextClassification | TokenClassification, config: PreTrainedConfig) -> dict[str, Any]:
    names: dict[int, str] = dict(config.id2label)  # type: ignore[arg-type]
    own = tuple(names[index] for index in sorted(names))
    labels = spec.output.labels or own
    if not spec.source.adapter and len(labels) != len(own):
        fix = f"name all {len(own)}, or leave output.labels out to use the model's: {', '.join(own)}"
        raise SmithError(f"{len(labels)} labels for a head of {len(own)}", where=f"{spec.file}: output.labels", fix=fix)
    return {"labels": labels, "width": len(labels)}


def _activation(config: PreTrainedConfig, width: int) -> Activation:
    """What ``transformers.pipeline("text-classification")`` applies to the logits."""
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or width == 1 else "softmax"


def _entailment(spec: ZeroShotClassification, config: PreTrainedConfig) -> dict[str, Any]:
    """Which classes say that one text follows from another, as ``transformers.pipeline("zero-shot-classification")`` looks."""
    names: dict[int, str] = dict(config.id2label)  # type: ignore[arg-type]
    found = [index for index, name in names.items() if name.lower().startswith("entail")]
    if not found or len(names) < 2:
        fix = "give a model trained on natural language inference, with a class named entailment"
        raise SmithError(
            f"none of its classes ({', '.join(names.values())}) is entailment", where=f"{spec.file}: source", fix=fix
        )
    return {"width": len(names), "entailment": found[0], "contradiction": len(names) - 1 if found[0] == 0 else 0}


def _words(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """How ``transformers.pipeline("token-classification")`` tells where a word begins."""
    marks = bool(getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))
    return {"unknown_id": tokenizer.unk_token_id, "marks_continuations": marks}


def _stride(spec: QuestionAnswering, max_length: int) -> int:
    stride = spec.input.stride or min(max_length // 2, _SHARED)
    if stride > max_length // 2:
        fix = f"set stride <= {max_length // 2}"
        raise SmithError(f"{stride} of {max_length} tokens", where=f"{spec.file}: input.stride", fix=fix)
    return stride


def _masks(spec: FillMask, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    if tokenizer.mask_token_id is None:
        fix = "give a model that was trained to fill in masks"
        raise SmithError("the tokenizer has no mask", where=f"{spec.file}: source", fix=fix)
    masks = spec.output.max_masks
    width = masks * config.vocab_size
    return {"width": width, "mask_id": tokenizer.mask_token_id, "mask_token": tokenizer.mask_token, "masks": masks}


def _vector(spec: FeatureExtraction, folder: Path, config: PreTrainedConfig) -> dict[str, Any]:
    """Pooling and normalization as sentence-transformers' files beside the model define them, else mean and none."""
    modules = [entry["type"].rpartition(".")[2] for entry in json_in(folder / "modules.json", default=[])]
    if unknown := [module for module in modules if module not in ("Transformer", "Pooling", "Normalize")]:
        fix = "only Transformer, Pooling and Normalize can be served"
        raise SmithError(f"modules.json has {unknown[0]}", where=f"{spec.file}: source", fix=fix)
    pooling = spec.output.pooling or _pooling(spec, folder)
    normalize = spec.output.normalize if spec.output.normalize is not None else "Normalize" in modules
    kept = spec.output.truncate_dim
    if kept and kept > config.hidden_size:
        fix = f"set truncate_dim <= {config.hidden_size}"
        raise SmithError(f"a vector has {config.hidden_size} values", where=f"{spec.file}: output.truncate_dim", fix=fix)
    return {
        "width": config.hidden_size,
        "pooling": pooling,
        "normalize": normalize,
        "truncate_dim": kept,
        # As sentence-transformers: the model's own scaling comes before vectors are cut, one that is asked for after.
        "normalize_again": bool(kept and spec.output.normalize),
        **_prompts(folder),
    }


def _prompts(folder: Path) -> dict[str, Any]:
    said = json_in(folder / "config_sentence_transformers.json")
    prompts = {name: prompt for name, prompt in (said.get("prompts") or {}).items() if prompt}
    name = said.get("default_prompt_name")
    return {"prompts": prompts, "prompt": name if name in prompts else None}


def _pooling(spec: PipelineSpec, folder: Path) -> Pooling:
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


def _ranking(spec: TextRanking, config: PreTrainedConfig) -> dict[str, Any]:
    """One score a pair, made of the logit as ``CrossEncoder`` of sentence-transformers does."""
    if config.num_labels != 1:
        fix = "give a cross-encoder with one output"
        raise SmithError(f"it gives {config.num_labels} scores a document", where=f"{spec.file}: source", fix=fix)
    said = getattr(config, "sentence_transformers", None) or {}
    function = said.get("activation_fn") or getattr(config, "sbert_ce_default_activation_function", None) or "Sigmoid"
    known: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "none"}
    if (name := function.rpartition(".")[2]) not in known:
        fix = f"only {' and '.join(known)} can be served"
        raise SmithError(f"its scores go through {function}", where=f"{spec.file}: source", fix=fix)
    return {"width": 1, "activation": known[name]}
