"""How near an image is to each of the caller's labels, as scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import ACTIVATIONS
from tritonsmith_steps.embed import normalized
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class CompareSettings:
    """What makes scores of cosines."""

    scale: float
    bias: float
    activation: Literal["softmax", "sigmoid"]
    """Whether labels share a probability of 1, or each has its own."""


class Compare:
    """``IMAGE_VECTOR`` FP32 ``[images, width]`` and ``LABEL_VECTORS`` ``[images, labels, width]`` to ``LABEL`` and ``SCORE``.

    Both are ``[images, labels]``, by falling score: ``activation(scale * cosine + bias)`` (Radford et al. 2021, figure 3).
    """

    def __init__(self, settings: CompareSettings) -> None:
        self._settings = settings

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Compare:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, CompareSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Result:
        said = self._settings
        labels, image = normalized(request["LABEL_VECTORS"]), normalized(request["IMAGE_VECTOR"])
        cosines = np.einsum("nkw,nw->nk", labels, image)
        scores = ACTIVATIONS[said.activation](said.scale * cosines + said.bias).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")
        names = np.take_along_axis(request["CANDIDATE_LABELS"], order, axis=1)
        return {"LABEL": names, "SCORE": np.take_along_axis(scores, order, axis=1)}


STEP = Compare
