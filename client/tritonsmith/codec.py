"""The tasks as a caller sees them: how each is asked, which options it takes, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tritonsmith.answers import (
    decode_all_classes,
    decode_classes,
    decode_json,
    decode_ranking,
    decode_spans,
    decode_tokens,
    decode_top_classes,
    decode_vectors,
    decode_zero_shot,
)
from tritonsmith.calls import Arrays, Call, Encode, encode_records, encode_texts, encode_texts_or_pairs
from tritonsmith.errors import InvalidInputError, ServerError
from tritonsmith.images import decode_boxes, decode_segments, encode_images
from tritonsmith.options import LABELS, TARGETS, TOP_K, Option, count, flag, line, one_of, share
from tritonsmith.sounds import decode_transcripts, encode_sounds


@dataclass(frozen=True)
class ModelInfo:
    """What a served pipeline says of itself."""

    name: str
    task: str
    max_batch_size: int


def info_from_config(name: str, config: Mapping[str, Any]) -> ModelInfo:
    """Read Triton's model configuration. Raises ServerError for a model that is no pipeline of ours."""
    if not isinstance(config, Mapping):
        raise ServerError(f"{name}: the server's configuration of it cannot be read")
    task = config.get("parameters", {}).get("task", {}).get("string_value", "")
    if task not in TASKS:
        what = f"its task is {task!r}" if task else "it names no task"
        raise ServerError(f"{name} is no pipeline this client can call ({what}); known tasks: {', '.join(TASKS)}")
    return ModelInfo(name, task, int(config.get("max_batch_size", 0)))


@dataclass(frozen=True)
class Task:
    """How a task's inputs and answers are made, and which options a caller may give."""

    encode: Encode
    decode: Callable[..., Any]
    """``decode(outputs, call, **options)`` from the outputs of a call's requests."""
    options: Mapping[str, Option]
    keys: tuple[str, ...] = ()
    """What an item that is a dictionary has; nothing where items are texts or files."""
    item: str = "text"
    """What an item is, where it is no dictionary."""
    called: str = "answers"
    """What several answers to one item are called together."""
    unwraps_one: bool = False
    """Whether the answer to a list of one item comes without the list, as transformers has it."""


_QUESTION = {"question": "QUESTION", "context": "CONTEXT"}
_REPORT = "return_truncated"
_REPORTS = {_REPORT: flag()}
"""Of tasks whose items may be longer than the model takes."""
_FUNCTION = one_of(("softmax", "sigmoid", "none"), "FUNCTION_TO_APPLY")
_QUERY = {"query": "QUERY", "documents": "DOCUMENTS"}
TASKS: dict[str, Task] = {
    "text-classification": Task(
        encode_texts_or_pairs,
        decode_classes,
        {"top_k": TOP_K, "function_to_apply": _FUNCTION, **_REPORTS},
        called="classes",
    ),
    "zero-shot-classification": Task(
        encode_texts,
        decode_zero_shot,
        {
            "candidate_labels": LABELS,
            "hypothesis_template": line("HYPOTHESIS_TEMPLATE"),
            "multi_label": flag("MULTI_LABEL"),
            **_REPORTS,
        },
    ),
    "token-classification": Task(
        encode_texts,
        decode_json("ENTITIES"),
        {"aggregation_strategy": one_of(("none", "simple", "first", "average", "max"), "AGGREGATION_STRATEGY"), **_REPORTS},
        called="entities",
    ),
    "question-answering": Task(
        # How many windows a context makes is for the server to see: one a request, so that no other has to wait for it.
        encode_records("a question", _QUESTION, most=1),
        decode_spans,
        {
            "top_k": count("TOP_K", decodes=True),
            "max_answer_len": count("MAX_ANSWER_LEN"),
            "handle_impossible_answer": flag("HANDLE_IMPOSSIBLE_ANSWER"),
        },
        keys=tuple(_QUESTION),
    ),
    "fill-mask": Task(
        encode_texts,
        decode_tokens,
        {"top_k": count("TOP_K"), "targets": TARGETS, **_REPORTS},
        unwraps_one=True,
        called="tokens",
    ),
    "feature-extraction": Task(
        encode_texts, decode_vectors, {"prompt_name": line("PROMPT_NAME"), **_REPORTS}, called="embedding"
    ),
    "text-ranking": Task(
        encode_records("a query", _QUERY, lists=("documents",)),
        decode_ranking,
        {"top_k": TOP_K, "return_documents": flag(), **_REPORTS},
        keys=tuple(_QUERY),
        called="documents",
    ),
    "image-classification": Task(
        encode_images, decode_top_classes, {"top_k": TOP_K, "function_to_apply": _FUNCTION}, item="image", called="classes"
    ),
    "image-feature-extraction": Task(encode_images, decode_vectors, {}, item="image", called="embedding"),
    "object-detection": Task(encode_images, decode_boxes, {"threshold": share("THRESHOLD")}, item="image", called="boxes"),
    "image-segmentation": Task(encode_images, decode_segments, {}, item="image", called="segments"),
    "audio-classification": Task(
        encode_sounds,
        decode_top_classes,
        {"top_k": TOP_K, "function_to_apply": _FUNCTION, **_REPORTS},
        item="recording",
        called="classes",
    ),
    "automatic-speech-recognition": Task(
        encode_sounds,
        decode_transcripts,
        {"return_timestamps": one_of(("char", "word"), "RETURN_TIMESTAMPS", decodes=True)},
        item="recording",
    ),
    "zero-shot-image-classification": Task(
        encode_images,
        decode_all_classes,
        {"candidate_labels": LABELS, "hypothesis_template": line("HYPOTHESIS_TEMPLATE")},
        item="image",
        called="classes",
    ),
}


def encoded(info: ModelInfo, inputs: Any, options: Mapping[str, Any]) -> Call:
    """A call's requests, with the options that the server must know. Raises InvalidInputError before anything is sent."""
    check_options(info, options)
    task = TASKS[info.task]
    told = {task.options[name]: value for name, value in options.items() if task.options[name].tensor}
    widest = max((len(option.values(value)) for option, value in told.items() if option.a_row_each), default=1)
    call = task.encode(inputs, max(1, info.max_batch_size // widest))
    if not told:
        return call

    def with_options(request: Arrays) -> Arrays:
        items = len(next(iter(request.values())))
        return {**request, **{option.tensor: option.rows(value, items) for option, value in told.items()}}

    return replace(call, requests=tuple(map(with_options, call.requests)))


def decoded(info: ModelInfo, outputs: Sequence[Arrays], call: Call, options: Mapping[str, Any]) -> Any:
    """What a caller gets, from the outputs of a call's requests. Raises ServerError where one is not among them.

    With ``return_truncated`` a pair: the answers, and of each item whether it was cut to what the model takes at most.
    """
    task = TASKS[info.task]
    told = {name: value for name, value in options.items() if task.options[name].for_decoding and name != _REPORT}
    try:
        answers = task.decode(outputs, call, **told)
    except KeyError as error:
        fix = "render and build it again with the version of tritonsmith that asks"
        raise ServerError(f"{info.name} answered without {error.args[0]}; {fix}") from None
    return (answers, _truncated(outputs, call)) if options.get(_REPORT) else answers


def _truncated(outputs: Sequence[Arrays], call: Call) -> bool | list[bool]:
    """Nothing is cut where a pipeline does not say."""
    said = [
        bool(cut) for output in outputs for cut in output.get("TRUNCATED", np.zeros(len(next(iter(output.values()))))).ravel()
    ]
    return said[0] if call.single else said


def check_options(info: ModelInfo, options: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for an option that the task does not have, cannot use, or cannot do without."""
    known = TASKS[info.task].options
    for name, value in options.items():
        if name not in known:
            raise InvalidInputError(f"{info.name} takes no option {name}; it takes {', '.join(known) or 'none'}")
        if not known[name].accepts(value):
            raise InvalidInputError(f"{name} cannot be {value!r}; {known[name].hint}")
    if lacking := [name for name, option in known.items() if option.required and name not in options]:
        raise InvalidInputError(f"{info.name} needs {lacking[0]}; {known[lacking[0]].hint}")
