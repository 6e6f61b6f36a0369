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
    """``logits`` FP32 ``[rows, classes]`` to ``LABEL`` and ``SCORE``, both ``[rows, classes]``, by falling score.

    ``FUNCTION_TO_APPLY`` (``softmax``, ``sigmoid`` or ``none``, ``[rows, 1]``) in a request replaces the model's own.
    """

    def __init__(self, settings: ClassifySettings) -> None:
        self._labels: NDArray[Any] = np.array([label.encode() for label in settings.labels], dtype=np.object_)
        self._activation = settings.activation

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Classify:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, ClassifySettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a function that there is not is its own request's error."""
        functions = [self._function(request) for request in requests]
        results: list[Any] = list(functions)
        for function in dict.fromkeys(name for name in functions if isinstance(name, str)):
            alike = [index for index, name in enumerate(functions) if name == function]
            for index, answer in zip(alike, self._answers([requests[index] for index in alike], function), strict=True):
                results[index] = answer
        return results

    def _function(self, request: Arrays) -> str | ValueError:
        given = request.get("FUNCTION_TO_APPLY")
        if given is None or not given.size:
            return self._activation
        name, *others = dict.fromkeys(value.decode("utf-8", "replace").lower() for value in given.ravel())
        if others:
            return ValueError("function_to_apply differs between the items of a request; send them apart")
        if name not in ACTIVATIONS:
            return ValueError(f"function_to_apply {name!r} is unknown; use one of {', '.join(ACTIVATIONS)}")
        return str(name)

    def _answers(self, requests: Sequence[Arrays], function: str) -> list[Arrays]:
        scores = ACTIVATIONS[function](gathered(requests, "logits")).astype(np.float32)
        order = np.argsort(-scores, axis=-1, kind="stable")
        answers = {"LABEL": self._labels[order], "SCORE": np.take_along_axis(scores, order, axis=-1)}
        return parted(answers, [len(request["logits"]) for request in requests])


STEP = Classify
