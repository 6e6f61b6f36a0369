"""A caller's labels to texts, each put into a template: what an image is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.items import ITEM, Item, item_column
from tritonsmith_steps.readers import Asked, Limits
from tritonsmith_steps.settings import settings_from
from tritonsmith_steps.zeroshot import filled


@dataclass(frozen=True)
class LabelSettings:
    """What may be asked."""

    max_bytes: int
    """Of one label, and of the template."""
    max_labels: int
    """Of all images of a request together."""
    template: str = "This is a photo of {}."
    """What labels are put into where the caller gives none."""


class Labels:
    """``CANDIDATE_LABELS`` (UTF-8 ``[images, labels]``) and perhaps ``HYPOTHESIS_TEMPLATE`` to ``TEXT`` and ``ITEM``.

    Both are ``[images * labels, 1]``; ``ITEM`` says with which row an image's labels begin. Of the image's vector it only waits
    for that it is there: a bad image is refused before its labels cost anything.
    """

    def __init__(self, settings: LabelSettings) -> None:
        self._settings, self._limits = settings, Limits(settings.max_bytes)

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Labels:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, LabelSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a bad label is its own request's error."""
        return [self._texts(request) for request in requests]

    def _texts(self, request: Arrays) -> Result:
        most = self._settings.max_labels
        if request["CANDIDATE_LABELS"].size > most:
            return ValueError(
                f"{request['CANDIDATE_LABELS'].size} labels in a request; at most {most} are taken, ask for fewer"
            )
        asked = Asked(request, self._limits)
        try:
            rows = zip(
                asked.lists("CANDIDATE_LABELS", "label"),
                asked.option("HYPOTHESIS_TEMPLATE", self._settings.template),
                strict=True,
            )
            items = [Item([filled(item, template, label) for label in labels]) for item, (labels, template) in enumerate(rows)]
        except ValueError as error:
            return error
        texts = [[text.encode()] for item in items for text in item.texts if isinstance(text, str)]
        return {"TEXT": np.array(texts, dtype=np.object_), ITEM: item_column(items, [len(item.texts) for item in items])}


STEP = Labels
