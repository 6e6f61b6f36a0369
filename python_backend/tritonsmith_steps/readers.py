"""What a request asks, read into texts to encode and checked item by item. What only one task asks stands with its step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.items import Item

MOST_ANSWERS = 1000
"""Of ``top_k``: one caller's wish must not keep a step from all others."""


@dataclass(frozen=True)
class Limits:
    """What may be asked."""

    max_bytes: int
    """Of one text."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """By name, what is put before a text."""
    prompt: str | None = None
    """The name of the one that is put before a text where the caller names none."""


class Asked:
    """A request's tensors as Python values. Every error is a ValueError that names the item."""

    def __init__(self, request: Arrays, limits: Limits) -> None:
        self._request, self.limits = request, limits

    def has(self, name: str) -> bool:
        """Whether the caller gave an optional tensor."""
        return name in self._request

    def texts(self, name: str, what: str) -> list[str]:
        """A text an item, from a tensor of UTF-8 bytes ``[rows, 1]``."""
        column = self._request[name]
        if not column.size:
            raise ValueError(f"no {what} was given; give at least one")
        return [self._text(item, value, what) for item, value in enumerate(column.ravel())]

    def lists(self, name: str, what: str) -> list[list[str]]:
        """Some texts an item, from a tensor of UTF-8 bytes ``[rows, n]``."""
        table = self._request[name]
        if not table.size:
            raise ValueError(f"no {what} was given; give at least one")
        return [[self._text(item, value, what) for value in row] for item, row in enumerate(table)]

    def option(self, name: str, default: Any) -> list[Any]:
        """A value an item, of the default's type, from an optional tensor ``[rows, 1]``."""
        if not self.has(name):
            return [default] * self.rows
        if isinstance(default, str):
            return self.texts(name, name.lower())
        values: list[Any] = self._request[name].ravel().tolist()
        return values

    def number(self, name: str, default: int, most: int) -> list[int]:
        """As ``option``, from 1 to ``most``."""
        values: list[int] = self.option(name, default)
        for item, value in enumerate(values):
            check_number(item, name.lower(), value, most)
        return values

    @property
    def rows(self) -> int:
        """How many items the request has."""
        return len(next(iter(self._request.values())))

    def _text(self, item: int, value: bytes, what: str) -> str:
        limit = self.limits.max_bytes
        if len(value) > limit:
            raise ValueError(f"item {item}: {len(value)} bytes of {what}; at most {limit} are taken, shorten or split it")
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"item {item}: not UTF-8 at byte {error.start}; encode the {what} as UTF-8") from None
        if not text.strip():
            raise ValueError(f"item {item}: the {what} is empty; leave it out")
        return text


def check_number(item: int, name: str, value: int, most: int) -> None:
    """Raise ValueError where an item's option is not from 1 to ``most``."""
    if not 1 <= value <= most:
        raise ValueError(f"item {item}: {name} is {value}; give 1 to {most}")


def texts(asked: Asked) -> list[Item]:
    """``TEXT``, or with ``TEXT_PAIR`` pairs of texts."""
    found = asked.texts("TEXT", "text")
    if not asked.has("TEXT_PAIR"):
        return [Item([text]) for text in found]
    others = asked.texts("TEXT_PAIR", "second text")
    if len(others) != len(found):
        raise ValueError(f"{len(found)} texts and {len(others)} second texts; give as many of both")
    return [Item([pair]) for pair in zip(found, others, strict=True)]


Reader = Callable[[Asked], list[Item]]


def reader_named(name: str) -> Reader:
    """``module.function`` of this package. Raises ValueError where there is none."""
    module, _, function = name.rpartition(".")
    try:
        found: Reader = getattr(import_module(f"tritonsmith_steps.{module}"), function)
    except (ImportError, AttributeError, TypeError):
        raise ValueError(f"there is no reader {name!r}; use one such as readers.texts") from None
    return found
