"""Logits of what a mask may stand for to the likeliest tokens, and the text with them in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import Floats, softmax
from tritonsmith_steps.readers import MOST_ANSWERS, check_number
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class FillSettings:
    """What the tokenizer writes where something is to be filled in, and how many such places the engine answers."""

    mask_id: int
    mask_token: str
    masks: int
    pad_id: int


class Fill:
    """``mask_logits`` FP32 ``[rows, masks * vocabulary]`` to ``TOKENS``, a JSON list a row: a list of tokens for each mask.

    Beside the logits come ``input_ids`` INT32 ``[rows, length]`` and perhaps ``TOP_K`` INT32 ``[rows, 1]`` and ``TARGETS``
    ``[rows, k]``, the only tokens that are wanted.
    """

    def __init__(self, tokenizer: Tokenizer, settings: FillSettings) -> None:
        self._tokenizer, self._settings = tokenizer, settings

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Fill:
        """From a version folder with ``step.json`` and ``tokenizer.json``."""
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), settings_from(folder, FillSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a text with no mask or too many is its own request's error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Result:
        rows = request["mask_logits"].reshape(len(request["input_ids"]), self._settings.masks, -1)
        wanted = request.get("TOP_K", np.full((1, 1), 5)).ravel()
        targets = request.get("TARGETS", [()] * len(rows))
        try:
            filled = [
                self._row(item, ids, logits, int(top_k), self._ids(item, words))
                for item, (ids, logits, top_k, words) in enumerate(
                    zip(request["input_ids"], rows, np.broadcast_to(wanted, len(rows)), targets, strict=True)
                )
            ]
        except ValueError as error:
            return error
        return {"TOKENS": np.array([[json.dumps(row, ensure_ascii=False).encode()] for row in filled], dtype=np.object_)}

    def _ids(self, item: int, targets: Sequence[bytes]) -> list[int]:
        """The tokens of targets; of one that is no token its first."""
        found = set()
        for target in targets:
            word = target.decode("utf-8", "replace")
            token = self._tokenizer.token_to_id(word)
            first = [token] if token is not None else self._tokenizer.encode(word, add_special_tokens=False).ids[:1]
            if not first:
                raise ValueError(f"item {item}: the target {word!r} has no token; leave it out")
            found.add(first[0])
        return sorted(found)

    def _row(
        self, item: int, ids: NDArray[np.int32], logits: Floats, top_k: int, targets: list[int]
    ) -> list[list[dict[str, Any]]]:
        places = np.flatnonzero(ids == self._settings.mask_id).tolist()
        name, most = self._settings.mask_token, self._settings.masks
        if not places:
            raise ValueError(f"item {item}: the text has no {name}, or it was cut off; write one where a word is wanted")
        if len(places) > most:
            raise ValueError(f"item {item}: {len(places)} times {name}; at most {most} are answered, ask for less at once")
        check_number(item, "top_k", top_k, MOST_ANSWERS)
        return [
            self._tokens(ids, place, softmax(logits[number]), top_k, targets, single=len(places) == 1)
            for number, place in enumerate(places)
        ]

    def _tokens(
        self, ids: NDArray[np.int32], place: int, scores: Floats, top_k: int, targets: list[int], *, single: bool
    ) -> list[dict[str, Any]]:
        found = []
        wanted = np.array(targets) if targets else np.arange(len(scores))
        for token in wanted[np.argsort(-scores[wanted], kind="stable")[:top_k]].tolist():
            filled = ids.copy()
            filled[place] = token
            kept = filled[filled != self._settings.pad_id].tolist()
            found.append(
                {
                    "score": float(scores[token]),
                    "token": token,
                    "token_str": self._tokenizer.decode([token], skip_special_tokens=False),
                    "sequence": self._tokenizer.decode(kept, skip_special_tokens=single),
                }
            )
        return found


STEP = Fill
