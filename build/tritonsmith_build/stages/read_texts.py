"""Read a model of texts: lengths, inputs, padding; and its tokenizer as one file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import default_buckets
from tritonsmith_build.source import ModelSource
from tritonsmith_build.stages.beside import json_in
from tritonsmith_build.stages.read import loaded
from tritonsmith_build.tables import TextSpec
from tritonsmith_build.task import Task, TextModel

ENGINE_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
NO_LIMIT = 10**6  # tokenizers without a length of their own say 10**30


def model_of_texts(spec: TextSpec, source: ModelSource, task: Task, folder: Path) -> tuple[TextModel[TextSpec], dict[str, Any]]:
    """The model with its tokenizer, and its facts as ``TextFacts`` has them; writes ``tokenizer.json``."""
    config = loaded(AutoConfig, source, spec)
    tokenizer = loaded(AutoTokenizer, source, spec)
    if not tokenizer.is_fast:
        fix = "convert it with transformers to a tokenizer.json"
        raise SmithError("the tokenizer has no fast (Rust) form", where=f"{spec.file}: source", fix=fix)
    with torch.device("meta"):  # the shapes of the model without its memory
        model = getattr(transformers, task.auto_model).from_config(config)
    positions = positions_of(model, config)
    max_length = greatest_length(spec, task, source.folder, tokenizer, positions)
    facts = {
        "positions": positions,
        "max_length": max_length,
        "buckets": spec.input.buckets or default_buckets(max_length),
        "inputs": _inputs(model, config, tokenizer),
        "pad_id": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        "pad_type_id": tokenizer.pad_token_type_id,
        "truncation_side": "left" if tokenizer.truncation_side == "left" else "right",
    }
    write_tokenizer(tokenizer, folder / "tokenizer.json")
    return TextModel(spec, source.folder, config, tokenizer, max_length), facts


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, file: Path) -> None:
    """Write a fast tokenizer as one file, without padding and cutting."""
    backend = tokenizer.backend_tokenizer
    # Both are the caller's business: a file may carry a fixed padding that makes every short text five times its price.
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(file), pretty=False)


def positions_of(model: torch.nn.Module, config: PreTrainedConfig) -> int:
    """How many tokens the model has positions for.

    A position table with a padding row (RoBERTa and its kin) begins counting after it, so that many rows are not usable.
    """
    positions = getattr(config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT
    for name, module in model.named_modules():
        if "position" in name and isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            return int(positions) - module.padding_idx - 1
    return int(positions)


def greatest_length(spec: TextSpec, task: Task, folder: Path, tokenizer: PreTrainedTokenizerBase, positions: int) -> int:
    """How many tokens a row has at most: as the spec says it, else the model's files. Raises SmithError for too many."""
    wished = spec.input.max_length or (spec.input.buckets[-1] if spec.input.buckets else None)
    if wished is not None:
        if wished > positions:
            fix = f"set max_length <= {positions}"
            raise SmithError(
                f"{wished} exceeds the model's {positions} positions", where=f"{spec.file}: input.max_length", fix=fix
            )
        return wished
    sentence_bert = json_in(folder / "sentence_bert_config.json")
    if isinstance(length := sentence_bert.get("max_seq_length"), int):
        return min(length, positions)
    limit = min(int(tokenizer.model_max_length), positions, *([task.longest] if task.longest else []))
    if limit >= NO_LIMIT:
        raise SmithError("the model names no greatest length", where=f"{spec.file}: input.max_length", fix="set it")
    return limit


def _inputs(model: torch.nn.Module, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    takes = inspect.signature(model.forward).parameters.keys() & set(tokenizer.model_input_names)
    if getattr(config, "type_vocab_size", 2) < 2:  # RoBERTa accepts token types and knows only one
        takes -= {"token_type_ids"}
    return tuple(name for name in ENGINE_INPUTS if name in takes)
