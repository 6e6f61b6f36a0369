"""Items that become several rows of an engine: what a later step must know of each travels with its first row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays, Result, spans

ITEM = "ITEM"
"""Bytes ``[rows, 1]``: JSON in the first row of an item, nothing in those that follow it."""
TRUNCATED = "TRUNCATED"
"""BOOL ``[rows, 1]``: whether an item was cut to what the model takes at most."""
Text = str | tuple[str, str]


@dataclass(frozen=True)
class Item:
    """One thing that a caller asks about: the texts or pairs to encode, and what the answering step must know of it."""

    texts: Sequence[Text]
    about: Mapping[str, Any] = field(default_factory=dict)


def item_column(items: Sequence[Item], rows: Sequence[int]) -> NDArray[Any]:
    """The tensor ``ITEM`` of items that have become so many rows each."""
    column = np.full((sum(rows), 1), b"", dtype=np.object_)
    for item, (start, _) in zip(items, spans(rows), strict=True):
        column[start, 0] = json.dumps(item.about, ensure_ascii=False, separators=(",", ":")).encode()
    return column


def items_in(request: Arrays) -> list[tuple[dict[str, Any], Arrays]]:
    """Each item of a request that carries ``ITEM``: what is known of it, and its rows of every tensor."""
    first = np.flatnonzero(request[ITEM].ravel().astype(bool)).tolist()
    ends = [*first[1:], len(request[ITEM])]
    return [
        (json.loads(request[ITEM][start, 0]), {name: array[start:stop] for name, array in request.items() if name != ITEM})
        for start, stop in zip(first, ends, strict=True)
    ]


def stacked(answers: Sequence[Arrays]) -> Result:
    """Answers ``[k]`` a tensor, one of each item, as rows; an error where items of one request have not equally many."""
    if len({tuple(array.shape for array in answer.values()) for answer in answers}) > 1:
        return ValueError("the items of a request have not equally many answers; send them apart")
    return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}
