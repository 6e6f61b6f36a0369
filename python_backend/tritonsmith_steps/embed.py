"""Pooled vectors to embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result, gathered, parted
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class EmbedSettings:
    """Whether every vector is scaled to length 1."""

    normalize: bool


class Embed:
    """``pooled`` FP32 ``[rows, width]`` to ``EMBEDDING`` of the same shape."""

    def __init__(self, settings: EmbedSettings) -> None:
        self._normalize = settings.normalize

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Embed:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, EmbedSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        vectors = gathered(requests, "pooled")
        if self._normalize:
            # torch.nn.functional.normalize, which sentence-transformers uses, has the same floor
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        return [*parted({"EMBEDDING": vectors}, [len(request["pooled"]) for request in requests])]
