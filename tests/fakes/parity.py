"""What a served pipeline must answer: cases, and when two answers are the same."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import pipeline

NEAR = 1e-3
"""How much two scores that are the same may differ, relative to the score."""
_TRIED = 40
CLASSIFYING = ("text-classification", "image-classification", "audio-classification")


@dataclass(frozen=True)
class Case:
    """One pipeline: how its model is made, what it is asked, and who says what is right."""

    task: str
    family: str
    make: Callable[[Path, str, int], object]
    reference: Callable[[Path], Callable[..., Any]]
    items: Sequence[Any]
    options: Sequence[dict[str, Any]] = ({},)
    spec: str = ""
    bad: Any = field(default="  ")
    """An item that is refused."""

    @property
    def name(self) -> str:
        return f"{self.family}_{self.task.replace('-', '_')}"

    def write(self, folder: Path) -> Path:
        """Its model below ``folder``, and its spec there.

        Of a classifier the first model, from a seed on that is always the same, whose answers are told apart.
        """
        model, first = folder / "models" / self.name, zlib.crc32(self.name.encode()) % 997
        for seed in range(first, first + _TRIED):
            self.make(model, self.family, seed)
            if self.task not in CLASSIFYING or told_apart(self.reference(model)(list(self.items), top_k=None)):
                break
        else:
            pytest.fail(f"none of {_TRIED} models of {self.name} tells its items apart")
        spec = folder / f"{self.name}.toml"
        spec.write_text(f'task = "{self.task}"\n[source]\npath = "models/{self.name}"\n{self.spec}')
        return spec


def of_transformers(task: str, **fixed: Any) -> Callable[[Path], Callable[..., Any]]:
    """What ``transformers.pipeline`` says to the same items."""

    def reference(folder: Path) -> Callable[..., Any]:
        pipe = pipeline(task, model=str(folder))
        return lambda items, **options: pipe(items, **fixed, **options)

    return reference


def told_apart(ranked: Any) -> bool:
    """Whether classes could be wrong: three of them come first, each by more than ten times what two scores may differ."""
    margins = [1 - second["score"] / first["score"] for first, second, *_ in ranked]
    return len({row[0]["label"] for row in ranked}) >= 3 and min(margins) > 10 * NEAR


def assert_same(actual: Any, wanted: Any) -> None:
    """The same lists of the same dictionaries; labels, places and texts exact.

    Scores and vectors nearly, boxes to a pixel, masks in 99.5 of 100 pixels.
    """
    if isinstance(wanted, Image.Image):
        assert actual.size == wanted.size
        assert np.mean(np.asarray(actual) == np.asarray(wanted)) >= 0.995
    elif isinstance(wanted, np.ndarray):
        np.testing.assert_allclose(actual, wanted.reshape(actual.shape), atol=1e-4)
    elif isinstance(wanted, list):
        assert isinstance(actual, list)
        assert len(actual) == len(wanted)
        for one, other in zip(actual, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, dict):
        assert isinstance(actual, dict)
        assert actual.keys() == wanted.keys()
        for key, value in wanted.items():
            if key == "box":
                assert actual[key] == pytest.approx(value, abs=1)
            else:
                assert_same(actual[key], value)
    elif isinstance(wanted, float | np.floating):
        assert actual == pytest.approx(float(wanted), rel=NEAR, abs=1e-5)
    else:
        assert actual == wanted
