"""Python values to tensors and back: pure, shared by every client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    items = [texts] if isinstance(texts, str) else _listed(texts)
    if not items:
        raise InvalidInputError("no text was given; give at least one")
    encoded = [_utf8(index, item) for index, item in enumerate(items)]
    size = max(1, max_batch_size)
    offsets = tuple(range(0, len(encoded), size))
    requests = tuple({"TEXT": np.array(encoded[at : at + size], dtype=np.object_).reshape(-1, 1)} for at in offsets)
    return Call(requests, offsets, single)


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


def decode_classes(outputs: Sequence[Arrays], single: bool, *, top_k: int | None = _BEST_ALONE) -> Any:
    """``LABEL`` and ``SCORE``, likeliest first, as ``transformers.pipeline("text-classification")`` gives them.

    Without ``top_k`` a list of one dictionary a text; with it a list of ``top_k`` dictionaries a text (``None``: all),
    and for a single text that inner list itself.
    """
    keep = 1 if top_k is _BEST_ALONE else top_k
    rows = [
        [{"label": label.decode(), "score": float(score)} for label, score in zip(labels[:keep], scores[:keep], strict=True)]
        for output in outputs
        for labels, scores in zip(output["LABEL"], output["SCORE"], strict=True)
    ]
    if top_k is _BEST_ALONE:
        return [row[0] for row in rows]
    return rows[0] if single else rows


def decode_vectors(outputs: Sequence[Arrays], single: bool) -> NDArray[np.float32]:
    """``EMBEDDING`` as float32 ``[n, width]``, also for a single text."""
    return np.concatenate([output["EMBEDDING"] for output in outputs])


@dataclass(frozen=True)
class Task:
    """How a task's answers are made, and which options a caller may give."""

    decode: Callable[..., Any]
    """``decode(outputs, single, **options)`` from the outputs of a call's requests."""
    options: Mapping[str, Callable[[Any], bool]]
    """By its name, what an option's value must be."""


def _is_top_k(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


TASKS: dict[str, Task] = {
    "text-classification": Task(decode_classes, {"top_k": _is_top_k}),
    "feature-extraction": Task(decode_vectors, {}),
}


def check_options(info: ModelInfo, options: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for an option the task does not have or cannot use, before anything is sent."""
    known = TASKS[info.task].options
    for name, value in options.items():
        if name not in known:
            raise InvalidInputError(f"{info.name} takes no option {name}; it takes {', '.join(known) or 'none'}")
        if not known[name](value):
            raise InvalidInputError(f"{name} cannot be {value!r}; give a whole number of at least 1, or None for all")
