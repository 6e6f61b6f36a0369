"""Texts without what identifies a person or reaches one: nothing after this step sees it, the cache and logs neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.meters import Sums
from tritonsmith_steps.personal import KINDS, REGIONS, numbers, personal, without
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class RedactSettings:
    """What is taken out."""

    kinds: Sequence[str]
    regions: Sequence[str]
    max_bytes: int
    """Of a text: longer ones the next step refuses, and nobody looks for anything in them."""
    max_numbers: int = 1000
    """Of a text: one with more would keep all others waiting for a second and more."""

    def __post_init__(self) -> None:
        for what, given, known in (("kind", self.kinds, KINDS), ("region", self.regions, REGIONS)):
            if odd := [name for name in given if name not in known]:
                raise ValueError(f"{what} {odd[0]!r} is unknown; use some of {', '.join(known)}")


class Redact:
    """Every tensor BYTES as it came, of the same length in characters, less what ``KINDS`` finds."""

    def __init__(self, settings: RedactSettings, count: Sums) -> None:
        self._settings, self._count = settings, count

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Sums) -> Redact:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, RedactSettings), count)

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order: what is no text, or too long, the next step refuses."""
        return [self._clean(request) for request in requests]

    def _clean(self, request: Arrays) -> Result:
        try:
            return {name: self._texts(array) for name, array in request.items()}
        except ValueError as error:
            return error

    def _texts(self, array: Any) -> Any:
        clean = np.empty(array.shape, dtype=np.object_)
        for place, value in np.ndenumerate(array):
            clean[place] = self._text(value, item=place[0])
        return clean

    def _text(self, value: bytes, item: int) -> bytes:
        if len(value) > self._settings.max_bytes:
            return value
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return value
        if (count := numbers(text)) > self._settings.max_numbers:
            most = f"at most {self._settings.max_numbers} are looked through for a person's, split it"
            raise ValueError(f"item {item}: the text has {count} numbers; {most}")
        found = personal(text, self._settings.kinds, self._settings.regions)
        for _, _, name in found:
            self._count("redacted", 1, name)
        return without(text, found).encode() if found else value


STEP = Redact
