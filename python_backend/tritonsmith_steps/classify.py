"""Logits to named classes, the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays, Count, Result, gathered, parted
from tritonsmith_steps.settings import settings_from

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClassifySettings:
    """The classes in the order of the logits, and what makes scores of logits."""

    labels: Sequence[str]
    activation: Literal["softmax", "sigmoid", "none"]

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is unknown; use one of {', '.join(ACTIVATIONS)}")


def softmax(logits: Floats) -> Floats:
    """``exp(x) / sum(exp(x))`` over the last axis, shifted by the maximum so that nothing overflows."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def sigmoid(logits: Floats) -> Floats:
    """``1 / (1 + exp(-x))``, by way of tanh, which cannot overflow."""
    scores: Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return scores


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"softmax": softmax, "sigmoid": sigmoid, "none": lambda logits: logits}


class Classify:
    """``logits`` FP32 ``[rows, classes]`` to ``LABEL`` and ``SCORE``, both ``[rows, classes]``, by falling score."""

    def __init__(self, settings: ClassifySettings) -> None:
        self._labels: NDArray[Any] = np.array([label.encode() for label in settings.labels], dtype=np.object_)
        self._activate = ACTIVATIONS[settings.activation]

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Classify:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, ClassifySettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        scores = self._activate(gathered(requests, "logits")).astype(np.float32)
        order = np.argsort(-scores, axis=-1, kind="stable")
        answers = {"LABEL": self._labels[order], "SCORE": np.take_along_axis(scores, order, axis=-1)}
        return [*parted(answers, [len(request["logits"]) for request in requests])]
