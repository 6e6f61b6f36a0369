"""How well documents fit a query to their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import ACTIVATIONS, Floats
from tritonsmith_steps.items import TRUNCATED, Item, items_in, stacked
from tritonsmith_steps.readers import Asked
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class RankSettings:
    """What makes a score of a logit: a row of ``ACTIVATIONS``."""

    activation: str


def documents(asked: Asked) -> list[Item]:
    """``QUERY`` with each of ``DOCUMENTS``."""
    queries, found = asked.texts("QUERY", "query"), asked.lists("DOCUMENTS", "document")
    return [Item([(query, text) for text in row]) for query, row in zip(queries, found, strict=True)]


class Rank:
    """``logits`` FP32 ``[pairs, 1]`` of each query's documents to ``INDEX`` INT32 and ``SCORE`` ``[queries, documents]``.

    The best comes first, as ``CrossEncoder.rank`` of sentence-transformers has it; ``INDEX`` counts the documents as they came,
    ``TRUNCATED`` says whether one was cut.
    """

    def __init__(self, settings: RankSettings) -> None:
        self._scores = ACTIVATIONS[settings.activation]

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Rank:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, RankSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        return [stacked([self._answer(about, rows["logits"]) for about, rows in items_in(request)]) for request in requests]

    def _answer(self, about: dict[str, Any], logits: Floats) -> Arrays:
        scores = self._scores(logits[:, 0]).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        return {"INDEX": order.astype(np.int32), "SCORE": scores[order], TRUNCATED: np.array([about["truncated"]])}


STEP = Rank
