"""Python values to tensors and back: pure, shared by every client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith.errors import InvalidInputError, ServerError

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ModelInfo:
    """What a served pipeline says of itself."""

    name: str
    task: str
    max_batch_size: int


@dataclass(frozen=True)
class Call:
    """One call of a pipeline, cut into requests of at most the model's batch size."""

    requests: tuple[Arrays, ...]
    offsets: tuple[int, ...]
    """Position of each request's first item among all."""
    single: bool
    """Whether one text was given rather than a list."""
    bare: bool = False
    """Whether that one was a dictionary, whose answer transformers gives without a list around it."""


def info_from_config(name: str, config: Mapping[str, Any]) -> ModelInfo:
    """Read Triton's model configuration. Raises ServerError for a model that is no pipeline of ours."""
    if not isinstance(config, Mapping):
        raise ServerError(f"{name}: the server's configuration of it cannot be read")
    task = config.get("parameters", {}).get("task", {}).get("string_value", "")
    if task not in TASKS:
        what = f"its task is {task!r}" if task else "it names no task"
        raise ServerError(f"{name} is no pipeline this client can call ({what}); known tasks: {', '.join(TASKS)}")
    return ModelInfo(name, task, int(config.get("max_batch_size", 0)))


def encode_texts(texts: str | Sequence[str], max_batch_size: int) -> Call:
    """A text or a list of texts as requests ``TEXT`` BYTES ``[n, 1]``; InvalidInputError says which item is none."""
    single = isinstance(texts, str)
    items = [texts] if single else _listed(texts)
    return _call({"TEXT": [_utf8(index, item) for index, item in enumerate(items)]}, max_batch_size, single=single)


def encode_texts_or_pairs(texts: Any, max_batch_size: int) -> Call:
    """As ``encode_texts``; an item may be ``{"text": …, "text_pair": …}``, which gives ``TEXT_PAIR`` BYTES ``[n, 1]`` too.

    Either all items are pairs or none is.
    """
    if isinstance(texts, Mapping):
        return _call(_pairs([texts]), max_batch_size, single=True, bare=True)
    items = [] if isinstance(texts, str) else _listed(texts)
    if any(isinstance(item, Mapping) for item in items):
        return _call(_pairs(items), max_batch_size, single=False)
    return encode_texts(texts, max_batch_size)


def _pairs(items: Sequence[Any]) -> dict[str, list[bytes]]:
    parts: dict[str, list[bytes]] = {"TEXT": [], "TEXT_PAIR": []}
    for index, item in enumerate(items):
        keys = item.keys() if isinstance(item, Mapping) else set()
        if keys != {"text", "text_pair"}:
            what = f"the keys {', '.join(map(repr, keys)) or 'none'}" if isinstance(item, Mapping) else type(item).__name__
            raise InvalidInputError(f"a pair is {{'text': …, 'text_pair': …}}, not {what}", item=index)
        parts["TEXT"].append(_utf8(index, item["text"]))
        parts["TEXT_PAIR"].append(_utf8(index, item["text_pair"]))
    return parts


def _call(columns: Mapping[str, Sequence[bytes]], max_batch_size: int, *, single: bool, bare: bool = False) -> Call:
    """Columns of equal length, cut into requests."""
    count = len(next(iter(columns.values())))
    if not count:
        raise InvalidInputError("no text was given; give at least one")
    size = max(1, max_batch_size)
    offsets = tuple(range(0, count, size))
    requests = tuple({name: _column(values[at : at + size]) for name, values in columns.items()} for at in offsets)
    return Call(requests, offsets, single, bare)


def _column(values: Sequence[bytes]) -> NDArray[Any]:
    return np.array(values, dtype=np.object_).reshape(-1, 1)


def _listed(texts: object) -> list[object]:
    listed = isinstance(texts, Sequence) or (isinstance(texts, np.ndarray) and texts.ndim == 1)
    if isinstance(texts, bytes) or not listed:
        raise InvalidInputError(f"a text or a list of texts is needed, not {type(texts).__name__}")
    return list(texts)  # type: ignore[call-overload, no-any-return]


def _utf8(index: int, item: object) -> bytes:
    if not isinstance(item, str):
        raise InvalidInputError(f"a text is needed, not {type(item).__name__} {item!r:.40}", item=index)
    try:
        return item.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"character {error.start} is half of a surrogate pair, not text", item=index) from None


_BEST_ALONE: Any = object()
"""Without ``top_k``, the best class alone stands where a list of classes would."""


def decode_classes(outputs: Sequence[Arrays], call: Call, *, top_k: int | None = _BEST_ALONE) -> Any:
    """``LABEL`` and ``SCORE``, likeliest first, as ``transformers.pipeline("text-classification")`` gives them.

    Without ``top_k`` a list of one dictionary a text, for a single pair that dictionary itself; with it a list of ``top_k``
    dictionaries a text (``None``: all), and for a single text that inner list itself.
    """
    keep = 1 if top_k is _BEST_ALONE else top_k
    rows = [
        [{"label": label.decode(), "score": float(score)} for label, score in zip(labels[:keep], scores[:keep], strict=True)]
        for output in outputs
        for labels, scores in zip(output["LABEL"], output["SCORE"], strict=True)
    ]
    if top_k is _BEST_ALONE:
        return rows[0][0] if call.bare else [row[0] for row in rows]
    return rows[0] if call.single else rows


def decode_entities(outputs: Sequence[Arrays], call: Call) -> Any:
    """``ENTITIES``, as ``transformers.pipeline("token-classification")`` gives them: a list of dictionaries a text."""
    rows = [json.loads(row) for output in outputs for row in output["ENTITIES"].ravel()]
    return rows[0] if call.single else rows


def decode_vectors(outputs: Sequence[Arrays], call: Call) -> NDArray[np.float32]:
    """``EMBEDDING`` as float32 ``[n, width]``, also for a single text."""
    return np.concatenate([output["EMBEDDING"] for output in outputs])


@dataclass(frozen=True)
class Option:
    """Something a caller may ask for beside the input."""

    accepts: Callable[[Any], bool]
    hint: str
    """What to give instead of what is not accepted."""
    tensor: str = ""
    """The server's input that carries it; where there is none, it is for the answer's decoding."""


@dataclass(frozen=True)
class Task:
    """How a task's inputs and answers are made, and which options a caller may give."""

    encode: Callable[[Any, int], Call]
    """``encode(inputs, max_batch_size)``."""
    decode: Callable[..., Any]
    """``decode(outputs, call, **options)`` from the outputs of a call's requests."""
    options: Mapping[str, Option]


def _is_top_k(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


FUNCTIONS = ("softmax", "sigmoid", "none")
TOP_K = Option(_is_top_k, "give a whole number of at least 1, or None for all")
FUNCTION_TO_APPLY = Option(
    lambda value: isinstance(value, str) and value.lower() in FUNCTIONS,
    f"give one of {', '.join(FUNCTIONS)}",
    tensor="FUNCTION_TO_APPLY",
)
STRATEGIES = ("none", "simple", "first", "average", "max")
AGGREGATION_STRATEGY = Option(
    lambda value: isinstance(value, str) and value.lower() in STRATEGIES,
    f"give one of {', '.join(STRATEGIES)}",
    tensor="AGGREGATION_STRATEGY",
)
TASKS: dict[str, Task] = {
    "text-classification": Task(
        encode_texts_or_pairs, decode_classes, {"top_k": TOP_K, "function_to_apply": FUNCTION_TO_APPLY}
    ),
    "token-classification": Task(encode_texts, decode_entities, {"aggregation_strategy": AGGREGATION_STRATEGY}),
    "feature-extraction": Task(encode_texts, decode_vectors, {}),
}


def encoded(info: ModelInfo, inputs: Any, options: Mapping[str, Any]) -> Call:
    """A call's requests, with the options that the server must know. Raises InvalidInputError before anything is sent."""
    check_options(info, options)
    task = TASKS[info.task]
    call = task.encode(inputs, info.max_batch_size)
    told = {task.options[name].tensor: value for name, value in options.items() if task.options[name].tensor}
    if not told:
        return call

    def with_options(request: Arrays) -> Arrays:
        rows = len(next(iter(request.values())))
        return {**request, **{tensor: _column([value.encode()] * rows) for tensor, value in told.items()}}

    return replace(call, requests=tuple(map(with_options, call.requests)))


def decoded(info: ModelInfo, outputs: Sequence[Arrays], call: Call, options: Mapping[str, Any]) -> Any:
    """What a caller gets, from the outputs of a call's requests."""
    task = TASKS[info.task]
    return task.decode(outputs, call, **{name: value for name, value in options.items() if not task.options[name].tensor})


def check_options(info: ModelInfo, options: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for an option the task does not have or cannot use."""
    known = TASKS[info.task].options
    for name, value in options.items():
        if name not in known:
            raise InvalidInputError(f"{info.name} takes no option {name}; it takes {', '.join(known) or 'none'}")
        if not known[name].accepts(value):
            raise InvalidInputError(f"{name} cannot be {value!r}; {known[name].hint}")
