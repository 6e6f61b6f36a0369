"""Read a model that is a graph: from the graph what it gives, from the files beside it the rest, as far as they are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from transformers import PreTrainedConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from tritonsmith_steps.lengths import MASK

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ImageFacts, TextFacts, default_buckets
from tritonsmith_build.modality import Axis
from tritonsmith_build.source import ModelSource
from tritonsmith_build.stages.beside import json_in
from tritonsmith_build.stages.own_graph import Axes, OwnGraph, not_from_graph, own_graph, taken
from tritonsmith_build.stages.read import loaded
from tritonsmith_build.stages.read_images import image_processor, translated
from tritonsmith_build.stages.read_texts import ENGINE_INPUTS, NO_LIMIT, greatest_length, write_tokenizer
from tritonsmith_build.tables import ImageSpec, PipelineSpec, TextSpec
from tritonsmith_build.task import ImageModel, Task, TextModel

_NEEDED = ENGINE_INPUTS[:2]
_PADS = ("[PAD]", "<pad>")


def graph_of_texts(spec: TextSpec, source: ModelSource, task: Task, folder: Path) -> tuple[TextModel[TextSpec], dict[str, Any]]:
    """The model with its tokenizer, and its facts as ``TextFacts`` has them; writes ``tokenizer.json``."""
    said = json_in(source.folder / "config.json")
    tokenizer = _tokenizer(spec, source)
    positions = min(said.get("max_position_embeddings") or NO_LIMIT, NO_LIMIT)
    max_length = greatest_length(spec, task, source.folder, tokenizer, positions)
    takes = taken(source.folder / str(spec.source.onnx))
    facts: dict[str, Any] = {
        "positions": positions,
        "max_length": max_length,
        "buckets": spec.input.buckets or default_buckets(max_length),
        "inputs": tuple(name for name in ENGINE_INPUTS if name in takes or name in _NEEDED),
        "pad_id": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        "pad_type_id": tokenizer.pad_token_type_id,
        "truncation_side": "left" if tokenizer.truncation_side == "left" else "right",
    }
    axes = task.modality.axes(TextFacts(model_type="", weights={}, width=1, **facts))
    shape = _shape(own_graph(spec, source, axes, task.modality.dtypes), axes)
    write_tokenizer(tokenizer, folder / "tokenizer.json")
    config = _config(spec, task, said, shape[-1])
    return TextModel(spec, source.folder, config, tokenizer, max_length, pools=len(shape) == 1), facts


def graph_of_images(
    spec: ImageSpec, source: ModelSource, task: Task, folder: Path
) -> tuple[ImageModel[ImageSpec], dict[str, Any]]:
    """The model, and its facts as ``ImageFacts`` has them. Raises SmithError for a processor that cannot be translated."""
    _needed(spec, source, "preprocessor_config.json")
    processor = image_processor(spec, source)
    facts = translated(processor, where=f"{spec.file}: source")
    axes = task.modality.axes(ImageFacts(model_type="", weights={}, width=1, dims=(), **facts))
    shape = _shape(own_graph(spec, source, axes, task.modality.dtypes), axes)
    config = _config(spec, task, json_in(source.folder / "config.json"), shape[0])
    name = type(processor).__name__.removesuffix("Pil")
    return ImageModel(spec, source.folder, config, name, dims=lambda answers: shape), facts


def no_graph(spec: PipelineSpec, source: ModelSource, task: Task, folder: Path) -> NoReturn:
    """Raises SmithError: a graph of this modality is not served."""
    raise not_from_graph(spec)


def _needed(spec: PipelineSpec, source: ModelSource, name: str) -> None:
    if not (source.folder / name).is_file():
        fix = f"put the model's {name} beside the graph: save_pretrained writes it"
        raise SmithError(f"{source.folder} holds no {name}", where=f"{spec.file}: source", fix=fix)


def _tokenizer(spec: TextSpec, source: ModelSource) -> PreTrainedTokenizerBase:
    """The tokenizer, with what its file alone says of length, padding and unknown words where no other does."""
    _needed(spec, source, "tokenizer.json")
    tokenizer: PreTrainedTokenizerBase = loaded(PreTrainedTokenizerFast, source, spec)
    backend: Any = tokenizer.backend_tokenizer
    if backend.truncation:
        tokenizer.model_max_length = min(tokenizer.model_max_length, backend.truncation["max_length"])
    if tokenizer.pad_token is None:
        names = [(backend.padding or {}).get("pad_token"), *_PADS]
        tokenizer.pad_token = next((name for name in names if name and backend.token_to_id(name) is not None), None)
    if tokenizer.unk_token is None:
        tokenizer.unk_token = getattr(backend.model, "unk_token", None)
    return tokenizer


def _config(spec: PipelineSpec, task: Task, said: Mapping[str, Any], width: int) -> PreTrainedConfig:
    """What ``config.json`` says, with as many classes as the graph gives. Raises SmithError where names and graph differ.

    Named are they by the spec, else by ``config.json``.
    """
    where, fix = f"{spec.file}: output.labels", f"name all {width}, in the order of the graph's output"
    wished = getattr(spec.output, "labels", None)
    own = said.get("id2label") or {}
    names = wished or tuple(own[at] for at in sorted(own, key=int))
    if not names and "labels" in type(spec.output).model_fields:
        raise SmithError(f"nothing says what the graph's {width} classes are called", where=where, fix=fix)
    if names and len(names) != width and task.engine_output != "pooled":
        raise SmithError(f"{len(names)} labels for a graph that gives {width} scores", where=where, fix=fix)
    labels = dict(enumerate(names or [f"LABEL_{at}" for at in range(width)]))
    ids = {name: at for at, name in labels.items()}
    return PreTrainedConfig(**{"model_type": "onnx", **said, "id2label": labels, "label2id": ids, "hidden_size": width})


def _shape(graph: OwnGraph, axes: Axes) -> tuple[int, ...]:
    """The output without the batch, -1 where it is as long as the text: found by trying two sizes, one of them the largest.

    Raises SmithError where a batch or a length stands still though the input's do not.
    """
    tried = [(rows, {name: _sizes(row, largest) for name, row in axes.items()}) for rows, largest in ((2, False), (3, True))]
    shapes = []
    for rows, sizes in tried:
        kind = np.int32 if MASK in sizes else np.float32
        batch = {name: np.full((rows, *dims), int(name == MASK), kind) for name, dims in sizes.items()}
        shape, length = graph.raw(batch).shape, next(iter(sizes.values()))[0]
        if shape[0] != rows or (len(shape) == 3 and shape[1] != length):
            what = f"{graph.output} is {list(shape)} for {rows} rows of {length}"
            raise SmithError(what, where=graph.where, fix="export it with a dynamic batch, and of tokens a dynamic length")
        shapes.append(shape[1:])
    (*_, last), (*_, other) = shapes
    if last != other:
        what = f"the last dimension of {graph.output} is {last} and {other}, as batches differ"
        raise SmithError(what, where=graph.where, fix="export the model with the head of that task")
    return (-1, last) if len(shapes[0]) == 2 else (last,)


def _sizes(row: tuple[Axis | int, ...], largest: bool) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else axis.most if largest else axis.example for axis in row)
