"""Pooled vectors to embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonsmith_steps.arrays import Arrays, Count, Result, gathered, parted
from tritonsmith_steps.classify import Floats
from tritonsmith_steps.items import Item
from tritonsmith_steps.readers import Asked
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class EmbedSettings:
    """Whether every vector is scaled to length 1, how many of its values are kept, and whether those are scaled again."""

    normalize: bool
    truncate_dim: int | None = None
    normalize_again: bool = False
    reads: str = "pooled"
    """The engine's output."""


def prompted(asked: Asked) -> list[Item]:
    """``TEXT`` after the prompt that ``PROMPT_NAME`` names, or the model's own."""
    limits = asked.limits
    items = []
    for item, (text, name) in enumerate(zip(asked.texts("TEXT", "text"), _names(asked), strict=True)):
        if name is not None and name not in limits.prompts:
            known = ", ".join(limits.prompts) or "none"
            raise ValueError(f"item {item}: there is no prompt {name!r}; the model has {known}")
        items.append(Item([limits.prompts[name] + text if name is not None else text]))
    return items


def _names(asked: Asked) -> list[str | None]:
    if asked.has("PROMPT_NAME"):
        return [*asked.texts("PROMPT_NAME", "prompt's name")]
    return [asked.limits.prompt] * asked.rows


class Embed:
    """An engine's vectors FP32 ``[rows, width]`` to ``EMBEDDING`` of the same shape, or of fewer columns."""

    def __init__(self, settings: EmbedSettings) -> None:
        self._settings = settings

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Embed:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, EmbedSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        vectors = gathered(requests, self._settings.reads)
        if self._settings.normalize:
            vectors = normalized(vectors)
        if self._settings.truncate_dim:
            vectors = np.ascontiguousarray(vectors[:, : self._settings.truncate_dim])
        if self._settings.normalize_again:
            vectors = normalized(vectors)
        return [*parted({"EMBEDDING": vectors}, [len(request[self._settings.reads]) for request in requests])]


def normalized(vectors: Floats) -> Floats:
    """Every vector, along the last axis, with length 1."""
    # torch.nn.functional.normalize, which sentence-transformers uses, has the same floor
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


STEP = Embed
