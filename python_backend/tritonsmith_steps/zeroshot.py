"""Whether hypotheses follow from a text to scores of the labels that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import Floats, softmax
from tritonsmith_steps.items import TRUNCATED, Item, items_in, stacked
from tritonsmith_steps.readers import Asked
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class ZeroShotSettings:
    """Which logits say that a hypothesis follows from the text, and that it contradicts it."""

    entailment: int
    contradiction: int


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
        Item([(text, filled(item, template, label)) for label in labels], {"labels": labels, "multi_label": several})
        for item, (text, labels, template, several) in enumerate(rows)
    ]


def filled(item: int, template: str, label: str) -> str:
    """As ``template.format(label)`` for a template with one ``{}``: what else a caller may write there is not for a server."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        parts = []
    if [part[1:] for part in parts if part[1] is not None] != [("", "", None)]:
        raise ValueError(f"item {item}: hypothesis_template {template!r:.80} must have one place for a label; write {{}} there")
    return "".join(before + (label if field is not None else "") for before, field, _, _ in parts)


class ZeroShot:
    """``logits`` FP32 ``[pairs, classes]`` to ``LABEL`` and ``SCORE`` ``[items, labels]``, by falling score; and ``TRUNCATED``.

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
        cut = np.array([about["truncated"]])
        return {"LABEL": labels[order], "SCORE": scores[order].astype(np.float32), TRUNCATED: cut}


STEP = ZeroShot
