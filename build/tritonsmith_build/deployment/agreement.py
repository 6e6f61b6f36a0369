"""Whether two versions answer an item alike: what a caller would read off, not the last digit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

COSINE = 0.99
"""From where two vectors are alike."""
SCORE = 0.1
"""How far apart the scores of a model's only class may be."""
Alike = Callable[[Any, Any], bool]


def alike(task: str) -> Alike:
    """For a task's answers to one item, as the client gives them with every class."""
    return _ALIKE[task]


def _classes(one: Any, other: Any) -> bool:
    """The likeliest class; of an only one, a regression's for example, its score."""
    if len(one) == len(other) == 1:
        return bool(one[0]["label"] == other[0]["label"] and abs(one[0]["score"] - other[0]["score"]) <= SCORE)
    return bool(one[0]["label"] == other[0]["label"])


def _vectors(one: Any, other: Any) -> bool:
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return bool(np.sum(one * other) >= COSINE * norms)


def _first(key: str) -> Alike:
    return lambda one, other: bool(one[0][key] == other[0][key])


def _tokens(one: Any, other: Any) -> bool:
    """Of a text with several masks, each one's."""
    if isinstance(one[0], list):
        return all(map(_tokens, one, other))
    return bool(one[0]["token_str"] == other[0]["token_str"])


def _entities(one: Any, other: Any) -> bool:
    def said(entity: Any) -> Any:
        return entity.get("entity_group", entity.get("entity")), entity["start"], entity["end"]

    return list(map(said, one)) == list(map(said, other))


def _labels(one: Any, other: Any) -> bool:
    """Boxes or segments: what is seen, and how often."""
    return Counter(part["label"] for part in one) == Counter(part["label"] for part in other)


_ALIKE: dict[str, Alike] = {
    "text-classification": _classes,
    "image-classification": _classes,
    "audio-classification": _classes,
    "zero-shot-image-classification": _classes,
    "zero-shot-classification": lambda one, other: bool(one["labels"][0] == other["labels"][0]),
    "token-classification": _entities,
    "question-answering": lambda one, other: bool(one["answer"] == other["answer"]),
    "fill-mask": _tokens,
    "feature-extraction": _vectors,
    "image-feature-extraction": _vectors,
    "text-ranking": _first("corpus_id"),
    "object-detection": _labels,
    "image-segmentation": _labels,
    "automatic-speech-recognition": lambda one, other: bool(one["text"] == other["text"]),
}
