"""A padded batch parted into rows of like length, so that less of the work is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays

MASK = "attention_mask"


@dataclass(frozen=True)
class Part:
    """Rows of a batch, by their numbers in it, cut or filled up to one length."""

    rows: NDArray[np.intp]
    batch: Arrays


def by_length(batch: Arrays, parts: int, multiple: int) -> list[Part]:
    """At most ``parts`` parts of about as many tokens each, none empty, the shortest rows first.

    A part is as long as its longest row, rounded up to a ``multiple``; what is added is masked. A batch without a mask is
    one part, and stays as it is: nothing tells its padding from its text.
    """
    if MASK not in batch:
        return [Part(np.arange(len(next(iter(batch.values())))), batch)]
    lengths = (batch[MASK] * np.arange(1, batch[MASK].shape[1] + 1)).max(axis=1)
    order = np.argsort(lengths, kind="stable")
    tokens = np.cumsum(lengths[order])
    shares = tokens[-1] * np.arange(1, parts) / parts
    cuts = [int(np.abs(tokens - share).argmin()) + 1 for share in shares]
    groups = [rows for rows in np.split(order, cuts) if len(rows)]
    return [Part(rows, _cut(batch, rows, -(-max(1, int(lengths[rows].max())) // multiple) * multiple)) for rows in groups]


def _cut(batch: Arrays, rows: NDArray[np.intp], length: int) -> Arrays:
    out = {}
    for name, array in batch.items():
        kept = array[rows, :length]
        out[name] = np.pad(kept, ((0, 0), (0, length - kept.shape[1]))) if kept.shape[1] < length else kept
    return out


def in_order(outputs: Sequence[tuple[NDArray[np.intp], NDArray[Any]]]) -> NDArray[Any]:
    """The parts' outputs, ``(rows, output [rows, width])``, as one new array in the order of the batch."""
    out = np.empty((sum(len(rows) for rows, _ in outputs), *outputs[0][1].shape[1:]), dtype=outputs[0][1].dtype)
    for rows, output in outputs:
        out[rows] = output
    return out
