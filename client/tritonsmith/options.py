"""What a caller may ask for beside the input, and how it travels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES: dict[str, Any] = {"BYTES": np.object_, "INT32": np.int32, "BOOL": np.bool_, "FP32": np.float32}


@dataclass(frozen=True)
class Option:
    """One of them."""

    accepts: Callable[[Any], bool]
    hint: str
    """What to give instead of what is not accepted."""
    tensor: str = ""
    """The server's input that carries it; where there is none, it is for the answer's decoding."""
    dtype: str = "BYTES"
    decodes: bool = False
    """Whether the answer's decoding needs it beside the server."""
    required: bool = False
    several: bool = False
    """Whether it has several values an item."""
    commas: bool = False
    """Whether a text with commas is several of them."""
    a_row_each: bool = False
    """Whether each of its values makes a row of the engine."""

    @property
    def for_decoding(self) -> bool:
        """Whether the answer's decoding is told."""
        return self.decodes or not self.tensor

    def rows(self, value: Any, count: int) -> NDArray[Any]:
        """The tensor that says the same to so many items."""
        row = np.array([_plain(entry) for entry in self.values(value)], dtype=_TYPES[self.dtype])
        return np.tile(row, (count, 1))

    def values(self, value: Any) -> list[Any]:
        """What it says to each item."""
        if not self.several:
            return [value]
        if not isinstance(value, str):
            return list(value)
        return [text for part in value.split(",") if (text := part.strip())] if self.commas else [value]


def _plain(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= character <= "\udfff" for character in value)


def one_of(names: Sequence[str], tensor: str, *, decodes: bool = False) -> Option:
    """A name from a list, in whatever case."""
    hint = f"give one of {', '.join(names)}"
    return Option(lambda value: isinstance(value, str) and value.lower() in names, hint, tensor=tensor, decodes=decodes)


def count(tensor: str, *, decodes: bool = False) -> Option:
    """A number of at least 1."""
    return Option(_is_count, "give a whole number of at least 1", tensor=tensor, dtype="INT32", decodes=decodes)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def share(tensor: str) -> Option:
    """A number from 0 to 1."""
    return Option(_is_share, "give a number from 0 to 1", tensor=tensor, dtype="FP32")


def flag(tensor: str = "") -> Option:
    """Yes or no."""
    return Option(lambda value: isinstance(value, bool), "give True or False", tensor=tensor, dtype="BOOL")


def line(tensor: str) -> Option:
    """A text of one line."""
    return Option(_is_text, "give a text", tensor=tensor)


TOP_K = Option(lambda value: value is None or _is_count(value), "give a whole number of at least 1, or None for all")


def _are_texts(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value)))


def _are_labels(value: object) -> bool:
    return _are_texts(value) and not (isinstance(value, str) and not value.strip(", "))


_LIST = "give a list of texts"
LABELS = Option(_are_labels, _LIST, tensor="CANDIDATE_LABELS", required=True, several=True, commas=True, a_row_each=True)
TARGETS = Option(_are_texts, _LIST, tensor="TARGETS", several=True)
