"""The one shape that data has between steps, and how many requests become one batch and part again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Result = Arrays | ValueError
"""A request's answer, or what is wrong with it. An error belongs to its own request alone."""
Count = Callable[[str, int], None]
"""``count(name, amount)`` adds to one of the metrics that the table in ``meters`` names."""


def gathered(requests: Sequence[Arrays], name: str) -> NDArray[Any]:
    """The rows of all requests, of equal shape, in one array."""
    return requests[0][name] if len(requests) == 1 else np.concatenate([request[name] for request in requests])


def padded(requests: Sequence[Arrays], name: str, fill: int) -> NDArray[Any]:
    """The rows of all requests in one array ``[rows, longest]``, shorter ones filled up on the right."""
    longest = max(request[name].shape[1] for request in requests)
    if all(request[name].shape[1] == longest for request in requests):
        return gathered(requests, name)
    out = np.full((sum(len(request[name]) for request in requests), longest), fill, dtype=requests[0][name].dtype)
    for (start, stop), request in zip(spans([len(r[name]) for r in requests]), requests, strict=True):
        out[start:stop, : request[name].shape[1]] = request[name]
    return out


def spans(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Where each request's rows lie when they follow one another.

    >>> spans([2, 1])
    [(0, 2), (2, 3)]
    """
    return list(pairwise(accumulate(counts, initial=0)))


def parted(arrays: Mapping[str, NDArray[Any]], counts: Sequence[int]) -> list[Arrays]:
    """Undo the gathering: each request gets its own rows."""
    return [{name: array[start:stop] for name, array in arrays.items()} for start, stop in spans(counts)]
