"""Logits of tokens to entities and their places in the text, grouped as transformers' pipeline groups them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import Floats, softmax
from tritonsmith_steps.settings import settings_from

Entity = dict[str, Any]


@dataclass(frozen=True)
class EntitiesSettings:
    """The classes in the order of the logits, and what the tokenizer says of words."""

    labels: Sequence[str]
    ignored: Sequence[str]
    """Classes of tokens that are no entity."""
    unknown_id: int | None
    marks_continuations: bool
    """Whether the tokenizer writes a prefix before a token that goes on with a word, as WordPiece does."""


@dataclass(frozen=True)
class Token:
    """A token of the text, or a word made of several."""

    word: str
    scores: Floats
    start: int
    end: int
    index: int
    continues: bool
    """Whether it goes on with the word before it."""


class Entities:
    """``token_logits`` ``[rows, length, classes]`` with the tokens they belong to, to ``ENTITIES``, a JSON list a row.

    Beside the logits a request has ``input_ids`` and ``SPECIAL`` (1 where a token is none of the text) ``[rows, length]``,
    ``OFFSETS`` ``[rows, length, 2]`` in characters, ``TEXT`` ``[rows, 1]``, and perhaps ``AGGREGATION_STRATEGY``.
    """

    def __init__(self, tokenizer: Tokenizer, settings: EntitiesSettings) -> None:
        self._tokenizer, self._settings = tokenizer, settings

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Entities:
        """From a version folder with ``step.json`` and ``tokenizer.json``."""
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), settings_from(folder, EntitiesSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a strategy that there is not is its own request's error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Result:
        named = request.get("AGGREGATION_STRATEGY", np.array([b"none"], dtype=np.object_)).ravel()
        scores, found = softmax(request["token_logits"]), []
        for row, name in enumerate(np.broadcast_to(named, len(scores))):
            strategy = name.decode("utf-8", "replace").lower()
            if strategy not in STRATEGIES:
                known = ", ".join(STRATEGIES)
                return ValueError(f"item {row}: aggregation_strategy {strategy!r} is unknown; use one of {known}")
            tokens = list(self._tokens({key: array[row] for key, array in request.items()}, scores[row]))
            entities = STRATEGIES[strategy](self, tokens)
            kept = [entity for entity in entities if _name(entity) not in self._settings.ignored]
            found.append(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode())
        return {"ENTITIES": np.array(found, dtype=np.object_).reshape(-1, 1)}

    def _tokens(self, row: Mapping[str, NDArray[Any]], scores: Floats) -> Iterator[Token]:
        text = row["TEXT"][0].decode("utf-8")
        for index in np.flatnonzero(row["SPECIAL"] == 0).tolist():
            token_id, (start, end) = int(row["input_ids"][index]), row["OFFSETS"][index].tolist()
            word, shown = self._tokenizer.id_to_token(token_id) or "", text[start:end]
            if token_id == self._settings.unknown_id:
                word, continues = shown, False
            elif self._settings.marks_continuations:
                continues = len(word) != len(shown)
            else:  # a word begins at a space
                continues = start > 0 and " " not in text[start - 1 : start + 1]
            yield Token(word, scores[index], start, end, index, continues)

    def _joined(self, words: Sequence[str]) -> str:
        """As the tokenizer writes tokens that follow one another."""
        decoder = self._tokenizer.decoder
        return decoder.decode(list(words)) if decoder is not None else " ".join(words)

    def each(self, tokens: Sequence[Token]) -> list[Entity]:
        """Every token by itself."""
        return [
            {
                "entity": self._settings.labels[best],
                "score": float(token.scores[best]),
                "index": token.index,
                "word": token.word,
                "start": token.start,
                "end": token.end,
            }
            for token in tokens
            for best in [int(token.scores.argmax())]
        ]

    def grouped(self, tokens: Sequence[Token]) -> list[Entity]:
        """Neighbours of one class together. A class written ``B-…`` begins anew, ``I-…`` goes on."""
        groups: list[list[Entity]] = []
        for entity in self.each(tokens):
            begins, kind = _begins(entity["entity"])
            if groups and not begins and kind == _begins(groups[-1][-1]["entity"])[1]:
                groups[-1].append(entity)
            else:
                groups.append([entity])
        return [
            {
                "entity_group": group[0]["entity"].split("-", 1)[-1],
                "score": float(np.mean([entity["score"] for entity in group], dtype=np.float32)),
                "word": self._joined([entity["word"] for entity in group]),
                "start": group[0]["start"],
                "end": group[-1]["end"],
            }
            for group in groups
        ]

    def words(self, tokens: Sequence[Token], scores_of: Callable[[Floats], Floats]) -> list[Entity]:
        """Tokens of a word get one class first, from ``scores_of`` their scores ``[tokens, classes]``."""
        starts = [index for index, token in enumerate(tokens) if index == 0 or not token.continues]
        made = []
        for start, stop in pairwise([*starts, len(tokens)]):
            word = tokens[start:stop]
            joined = self._joined([token.word for token in word])
            scores = scores_of(np.stack([token.scores for token in word]))
            made.append(Token(joined, scores, word[0].start, word[-1].end, word[0].index, continues=False))
        return self.grouped(made)


def _name(entity: Entity) -> str:
    name: str = entity.get("entity") or entity["entity_group"]
    return name


def _begins(label: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and of what kind."""
    prefix, kind = label[:2], label[2:]
    return (prefix == "B-", kind) if prefix in ("B-", "I-") else (False, label)


STRATEGIES: dict[str, Callable[[Entities, Sequence[Token]], list[Entity]]] = {
    "none": Entities.each,
    "simple": Entities.grouped,
    "first": lambda step, tokens: step.words(tokens, lambda scores: scores[0]),
    "average": lambda step, tokens: step.words(tokens, lambda scores: scores.mean(axis=0)),
    "max": lambda step, tokens: step.words(tokens, lambda scores: scores[scores.max(axis=1).argmax()]),
}


STEP = Entities
