"""What a caller gives, checked and cut into requests of tensors: pure, shared by every client."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from tritonsmith.errors import InvalidInputError

Arrays = Mapping[str, NDArray[Any]]
LONGEST_ID = 100
Encode = Callable[[Any, int], "Call"]
"""``encode(inputs, size)``: requests of at most ``size`` items."""


@dataclass(frozen=True)
class Call:
    """One call of a pipeline, cut into requests of at most the model's batch size."""

    requests: tuple[Arrays, ...]
    offsets: tuple[int, ...]
    """Position of each request's first item among all."""
    single: bool
    """Whether one item was given rather than a list."""
    bare: bool = False
    """Whether that one was a dictionary, whose answer transformers gives without a list around it."""

    def ids(self, given: str | None = None) -> list[str]:
        """What the server's log calls each request: as ``given``, numbered where there are several, or by chance."""
        if given is None:
            return [uuid4().hex for _ in self.requests]
        if not 0 < len(given) <= LONGEST_ID or not given.isprintable():
            raise ValueError(f"request_id must be 1 to {LONGEST_ID} printable characters, not {given!r:.150}")
        return [given] if len(self.requests) == 1 else [f"{given}-{number}" for number in range(len(self.requests))]


def encode_texts(texts: str | Sequence[str], max_batch_size: int) -> Call:
    """A text or a list of texts as requests ``TEXT`` BYTES ``[n, 1]``; InvalidInputError says which item is none."""
    single = isinstance(texts, str)
    items = [texts] if single else _listed(texts)
    if not items:
        raise InvalidInputError("no text was given; give at least one")
    encoded = column([_utf8(index, item) for index, item in enumerate(items)])
    size = max(1, max_batch_size)
    offsets = tuple(range(0, len(items), size))
    return Call(tuple({"TEXT": encoded[at : at + size]} for at in offsets), offsets, single)


def encode_records(what: str, tensors: Mapping[str, str], lists: Collection[str] = (), most: int | None = None) -> Encode:
    """For items that are dictionaries: ``tensors`` says which key goes into which tensor, BYTES ``[n, 1]`` a text.

    The keys in ``lists`` have lists of texts, BYTES ``[n, k]``: items of one request have equally long ones, and no more
    texts together than a batch has rows. ``most`` is the greatest number of items a request.
    """

    def encode(records: Any, max_batch_size: int) -> Call:
        single = isinstance(records, Mapping | str)
        items = [records] if single else _listed(records)
        if not items:
            raise InvalidInputError(f"no {what.partition(' ')[2]} was given; give at least one")
        rows = [_row(index, item, what, tensors, lists) for index, item in enumerate(items)]
        size = max(1, min(max_batch_size, most or max_batch_size))
        parts = _parts([max(map(len, row.values())) for row in rows], size)
        requests = tuple(
            {name: _table([row[name] for row in rows[start:stop]]) for name in tensors.values()} for start, stop in parts
        )
        return Call(requests, tuple(start for start, _ in parts), single, bare=single)

    return encode


_PAIRS = encode_records("a pair", {"text": "TEXT", "text_pair": "TEXT_PAIR"})


def encode_texts_or_pairs(texts: Any, max_batch_size: int) -> Call:
    """As ``encode_texts``; an item may be ``{"text": …, "text_pair": …}``, which gives ``TEXT_PAIR`` BYTES ``[n, 1]`` too.

    Either all items are pairs or none is.
    """
    items = [] if isinstance(texts, str | Mapping) else _listed(texts)
    pairs = isinstance(texts, Mapping) or any(isinstance(item, Mapping) for item in items)
    return _PAIRS(texts, max_batch_size) if pairs else encode_texts(texts, max_batch_size)


def _row(index: int, item: Any, what: str, tensors: Mapping[str, str], lists: Collection[str]) -> dict[str, list[bytes]]:
    keys = item.keys() if isinstance(item, Mapping) else set()
    if keys != tensors.keys():
        shape = ", ".join(f"{key!r}: …" for key in tensors)
        given = f"the keys {', '.join(map(repr, keys)) or 'none'}" if isinstance(item, Mapping) else type(item).__name__
        raise InvalidInputError(f"{what} is {{{shape}}}, not {given}", item=index)
    values = {key: _listed(item[key]) if key in lists else [item[key]] for key in tensors}
    if empty := [key for key, value in values.items() if not value]:
        raise InvalidInputError(f"{empty[0]} is empty; give at least one", item=index)
    return {tensors[key]: [_utf8(index, value) for value in found] for key, found in values.items()}


def _parts(widths: Sequence[int], size: int) -> list[tuple[int, int]]:
    """Where requests start and stop: items of one width, together no wider than ``size`` unless one alone is."""
    parts: list[tuple[int, int]] = []
    for index, width in enumerate(widths):
        start = parts[-1][0] if parts else 0
        if parts and widths[start] == width and (index - start + 1) * width <= size:
            parts[-1] = start, index + 1
        else:
            parts.append((index, index + 1))
    return parts


def _table(rows: Sequence[Sequence[bytes]]) -> NDArray[Any]:
    table = np.empty((len(rows), len(rows[0])), dtype=np.object_)
    table[:] = rows
    return table


def column(values: Sequence[bytes]) -> NDArray[Any]:
    """Texts as a tensor BYTES ``[n, 1]``."""
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
