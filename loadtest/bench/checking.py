"""Whether a server gives the right answers: compared with FP32, computed here by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tritonsmith_build.errors import SmithError
from tritonsmith_build.modalities.texts import Texts
from tritonsmith_steps.runtimes import PLAIN, opened
from tritonsmith_steps.settings import settings_from
from tritonsmith_steps.tokenize import TokenizeSettings

from bench.cells import ROWS
from bench.repositories import Steps
from bench.roads import Road, Vectors

LEAST = 0.98
"""Cosine to FP32 that every text's vector must reach."""


@dataclass(frozen=True)
class Cosines:
    """How near a server's vectors are to FP32's."""

    mean: float
    least: float
    texts: int


@dataclass(frozen=True)
class Sample:
    """Texts and the vectors they should get, of length 1."""

    texts: tuple[str, ...]
    vectors: Vectors

    def checked(self, road: Road) -> Cosines:
        """Ask for every text alone, then for all in lists. Raises SmithError where one vector is not near enough."""
        alone = [road.ask([text]) for text in self.texts]
        rows = [road.ask(self.texts[start : start + ROWS]) for start in range(0, len(self.texts), ROWS)]
        found = [self._cosines(np.concatenate(part), way) for part, way in ((alone, "one text"), (rows, f"{ROWS} texts"))]
        both = np.concatenate(found)
        return Cosines(round(float(both.mean()), 6), round(float(both.min()), 6), len(self.texts))

    def right(self, road: Road) -> bool:
        """Whether the first text's answer is right."""
        return bool(self._cosines(road.ask(self.texts[:1]), "one text")[0] >= LEAST)

    def _cosines(self, vectors: Vectors, way: str) -> Vectors:
        wanted = self.vectors[: len(vectors)]
        if vectors.shape != wanted.shape:
            raise SmithError(f"wrong: the answer to {way} is {vectors.shape}, not {wanted.shape}")
        cosines: Vectors = np.sum(vectors * wanted, axis=1) / np.linalg.norm(vectors, axis=1)
        if not (cosines >= LEAST).all():  # not a number is not near either
            worst = int(np.argmin(np.nan_to_num(cosines, nan=-1)))
            raise SmithError(f"wrong: cosine {cosines[worst]:.4f} to FP32 for text {worst} in an answer to {way}")
        return cosines


def reference(fp32: Path, texts: Sequence[str]) -> Sample:
    """By ONNX Runtime in FP32, texts one by one: no padding, no other's company."""
    steps = Steps.of(fp32)
    run = opened(PLAIN, steps.engine / steps.artefact)
    samples = Texts(steps.tokenize / "tokenizer.json", settings_from(steps.tokenize, TokenizeSettings), texts)
    vectors = np.concatenate([run(batch) for batch in samples.batches(1)])
    return Sample(tuple(texts), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def tokenizer_of(repository: Path) -> Tokenizer:
    """The model's own."""
    return Tokenizer.from_file(str(Steps.of(repository).tokenize / "tokenizer.json"))
