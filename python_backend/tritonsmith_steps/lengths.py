"""A padded batch parted into rows of like length, so that little of the work is padding and all have their share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays

MASK = "attention_mask"
_MULTIPLE = 8
"""Lengths are rounded up to it, so that shapes repeat: a runtime prepares itself anew for one that it has not just had."""
_EXTRA = 32
"""What a further part costs, in tokens: about right for a small encoder in BF16 with AMX; it need not be exact."""
_UNEVEN = 1.2
"""A part may be larger than its share by this."""
_MOST = 2048
"""Tokens of a part: a runtime keeps the memory that its largest shapes took."""


@dataclass(frozen=True)
class Part:
    """Rows of a batch, by their numbers in it, cut or filled up to one length."""

    rows: NDArray[np.intp]
    batch: Arrays


def by_length(batch: Arrays, workers: int) -> list[Part]:
    """Parts of about the least work, padding included, none much more than a worker's share; the most work first.

    A part is as long as its longest row, rounded up; what is added is masked. Rows of a batch without a mask are shared out
    as they are: nothing tells their padding from their text. A row that is masked as a whole, as Triton's warm-up sends them,
    keeps its length: what it warms is that.
    """
    if MASK not in batch:
        rows = np.arange(len(next(iter(batch.values()))))
        shares = np.array_split(rows, min(workers, len(rows)))
        return [Part(share, {name: array[share] for name, array in batch.items()}) for share in shares]
    lengths = (batch[MASK] * np.arange(1, batch[MASK].shape[1] + 1)).max(axis=1)
    lengths[lengths == 0] = batch[MASK].shape[1]
    rounded = -(-lengths // _MULTIPLE) * _MULTIPLE
    order = np.argsort(rounded, kind="stable")
    ascending = rounded[order]
    spans = _cheapest(ascending)
    work = sum((stop - start) * int(ascending[stop - 1]) for start, stop in spans)
    share = min(_MOST, _UNEVEN * work / workers)
    parts = [_part(batch, order[start:stop], int(ascending[stop - 1])) for start, stop in _shared_out(spans, ascending, share)]
    return sorted(parts, key=lambda part: -part.batch[MASK].size)


Span = tuple[int, int]
"""Where rows that follow one another start and stop."""


def _cheapest(lengths: NDArray[np.intp]) -> list[Span]:
    """Spans of ascending lengths that together cost the least, by dynamic programming over the places where they change."""
    ends = [*(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    longest = lengths[np.array(ends) - 1].tolist()
    starts = [0, *ends]
    costs, taken = [0], [0]
    for stop, length in zip(ends, longest, strict=True):
        tried = [cost + _EXTRA + (stop - start) * length for start, cost in zip(starts, costs, strict=False)]
        costs.append(min(tried))
        taken.append(tried.index(costs[-1]))
    spans, at = [], len(ends)
    while at:
        spans.append((starts[taken[at]], starts[at]))
        at = taken[at]
    return spans


def _shared_out(spans: Sequence[Span], lengths: NDArray[np.intp], share: float) -> Iterator[Span]:
    """The spans cut into even ones that are not more than a share, but a row at least."""
    for start, stop in spans:
        rows, length = stop - start, int(lengths[stop - 1])
        count = min(rows, -int(-rows * length // share))
        yield from pairwise(start + rows * piece // count for piece in range(count + 1))


def _part(batch: Arrays, rows: NDArray[np.intp], length: int) -> Part:
    cut = {}
    for name, array in batch.items():
        kept = array[rows, :length]
        cut[name] = np.pad(kept, ((0, 0), (0, length - kept.shape[1]))) if kept.shape[1] < length else kept
    return Part(rows, cut)


def in_order(outputs: Sequence[tuple[Part, NDArray[Any]]], batch: Arrays) -> NDArray[Any]:
    """The parts' outputs, ``[rows, width]``, as one new array in the order of the batch.

    Outputs ``[rows, part's length, width]``, one a token, come out with the batch's length, and ``[rows, frames, width]``, some
    a stretch of a recording, with the most frames; padding's are zero. Those of a batch without a mask are rows of one shape.
    """
    first = outputs[0][1]
    shape = first.shape[1:]
    if places := MASK in batch and first.ndim == 3:
        a_token = all(output.shape[1] == part.batch[MASK].shape[1] for part, output in outputs)
        most = batch[MASK].shape[1] if a_token else max(output.shape[1] for _, output in outputs)
        shape = (most, *first.shape[2:])
    out = np.zeros((sum(len(part.rows) for part, _ in outputs), *shape), dtype=first.dtype)
    for part, output in outputs:
        if places:
            out[part.rows, : output.shape[1]] = output[:, : shape[0]]
        else:
            out[part.rows] = output
    return out
