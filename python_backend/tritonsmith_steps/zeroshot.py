"""Whether hypotheses follow from a text to scores of the labels that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import Floats, softmax
from tritonsmith_steps.items import items_in, stacked
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class ZeroShotSettings:
    """Which logits say that a hypothesis follows from the text, and that it contradicts it."""

    entailment: int
    contradiction: int


class ZeroShot:
    """``logits`` FP32 ``[pairs, classes]`` to ``LABEL`` and ``SCORE`` ``[items, labels]``, by falling score.

    The labels share a probability of 1, or where several may be true, or there is but one, each has its own:
    ``transformers.pipeline("zero-shot-classification")``.
    """

    def __init__(self, settings: ZeroShotSettings) -> None:
        self._settings = settings

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> ZeroShot:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, ZeroShotSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        return [stacked([self._answer(about, rows["logits"]) for about, rows in items_in(request)]) for request in requests]

    def _answer(self, about: dict[str, Any], logits: Floats) -> Arrays:
        said = self._settings
        if about["multi_label"] or len(logits) == 1:
            scores = softmax(logits[:, [said.contradiction, said.entailment]])[:, 1]
        else:
            scores = softmax(logits[:, said.entailment])
        order = np.argsort(scores)[::-1]
        labels = np.array([label.encode() for label in about["labels"]], dtype=np.object_)
        return {"LABEL": labels[order], "SCORE": scores[order].astype(np.float32)}
