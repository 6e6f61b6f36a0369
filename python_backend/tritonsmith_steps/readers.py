"""What a request asks, read into texts to encode and checked item by item: a reader for each way of asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.items import Item


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
        values = self._request[name].ravel().tolist()
        return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]

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


def texts(asked: Asked) -> list[Item]:
    """``TEXT``, or with ``TEXT_PAIR`` pairs of texts."""
    found = asked.texts("TEXT", "text")
    if not asked.has("TEXT_PAIR"):
        return [Item([text]) for text in found]
    others = asked.texts("TEXT_PAIR", "second text")
    if len(others) != len(found):
        raise ValueError(f"{len(found)} texts and {len(others)} second texts; give as many of both")
    return [Item([pair]) for pair in zip(found, others, strict=True)]


def prompted(asked: Asked) -> list[Item]:
    """``TEXT`` after the prompt that ``PROMPT_NAME`` names, or the model's own."""
    limits = asked.limits
    items = []
    for item, (text, name) in enumerate(
        zip(asked.texts("TEXT", "text"), asked.option("PROMPT_NAME", limits.prompt), strict=True)
    ):
        if name is not None and name not in limits.prompts:
            known = ", ".join(limits.prompts) or "none"
            raise ValueError(f"item {item}: there is no prompt {name!r}; the model has {known}")
        items.append(Item([limits.prompts[name] + text if name is not None else text]))
    return items


def hypotheses(asked: Asked) -> list[Item]:
    """``TEXT`` with each of ``CANDIDATE_LABELS`` put into ``HYPOTHESIS_TEMPLATE``; ``MULTI_LABEL``: several may be true."""
    rows = zip(
        asked.texts("TEXT", "text"),
        asked.lists("CANDIDATE_LABELS", "label"),
        asked.option("HYPOTHESIS_TEMPLATE", "This example is {}."),
        asked.option("MULTI_LABEL", False),
        strict=True,
    )
    return [
        Item([(text, _filled(item, template, label)) for label in labels], {"labels": labels, "multi_label": several})
        for item, (text, labels, template, several) in enumerate(rows)
    ]


def _filled(item: int, template: str, label: str) -> str:
    """As ``template.format(label)`` for a template with one ``{}``: what else a caller may write there is not for a server."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        parts = []
    if [part[1:] for part in parts if part[1] is not None] != [("", "", None)]:
        raise ValueError(f"item {item}: hypothesis_template {template!r:.80} must have one place for a label; write {{}} there")
    return "".join(before + (label if field is not None else "") for before, field, _, _ in parts)


def documents(asked: Asked) -> list[Item]:
    """``QUERY`` with each of ``DOCUMENTS``."""
    queries, found = asked.texts("QUERY", "query"), asked.lists("DOCUMENTS", "document")
    return [Item([(query, text) for text in row]) for query, row in zip(queries, found, strict=True)]


def contexts(asked: Asked) -> list[Item]:
    """``QUESTION`` with its ``CONTEXT``, and how many answers of what sort are wanted."""
    options = {
        "top_k": asked.option("TOP_K", 1),
        "max_answer_len": asked.option("MAX_ANSWER_LEN", 15),
        "handle_impossible_answer": asked.option("HANDLE_IMPOSSIBLE_ANSWER", False),
    }
    for name in ("top_k", "max_answer_len"):
        for item, value in enumerate(options[name]):
            if value < 1:
                raise ValueError(f"item {item}: {name} is {value}; give at least 1")
    pairs = zip(asked.texts("QUESTION", "question"), asked.texts("CONTEXT", "context"), strict=True)
    return [
        Item([(question, context)], {"context": context, **{name: values[item] for name, values in options.items()}})
        for item, (question, context) in enumerate(pairs)
    ]


READERS: dict[str, Callable[[Asked], list[Item]]] = {
    "texts": texts,
    "prompted": prompted,
    "hypotheses": hypotheses,
    "documents": documents,
    "contexts": contexts,
}
