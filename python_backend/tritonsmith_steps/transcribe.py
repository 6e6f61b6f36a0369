"""What a model hears at each moment, to text: the likeliest token a frame, read as connectionist temporal classification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.settings import settings_from

TIMES = ("char", "word")


@dataclass(frozen=True)
class TranscribeSettings:
    """The model's tokens by their numbers, and how they become text."""

    tokens: Sequence[str]
    blank: str
    """The token between two that are the same."""
    frame: int
    """Samples a frame."""
    rate: int
    """Samples a second."""
    delimiter: str | None = "|"
    """The token between words."""
    space: str = " "
    """What stands for it in the text."""
    lower_case: bool = False


@dataclass(frozen=True)
class Heard:
    """A token, or a word of them, from its first frame to the one after its last."""

    text: str
    start: int
    stop: int


class Transcribe:
    """``frame_logits`` FP32 ``[rows, frames, tokens]``, zeros where padding was, to ``TRANSCRIPT`` and ``CHUNKS``.

    Both are ``[rows, 1]``. ``CHUNKS`` is a JSON list, empty unless ``RETURN_TIMESTAMPS`` (``char`` or ``word``, ``[rows, 1]``)
    asks for times, in seconds.
    """

    def __init__(self, settings: TranscribeSettings) -> None:
        self._settings = settings

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Transcribe:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, TranscribeSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a unit that there is not is its own request's error."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Result:
        logits = request["frame_logits"]
        units = request.get("RETURN_TIMESTAMPS")
        wanted = [""] * len(logits) if units is None else [value.decode("utf-8", "replace").lower() for value in units.ravel()]
        if unknown := [unit for unit in wanted if unit not in ("", *TIMES)]:
            return ValueError(f"return_timestamps {unknown[0]!r} is unknown; use one of {', '.join(TIMES)}")
        heard = [list(self._heard(row)) for row in logits]
        chunks = [self._chunks(row, unit) for row, unit in zip(heard, wanted, strict=True)]
        return {"TRANSCRIPT": _column(map(self._text, heard)), "CHUNKS": _column(map(json.dumps, chunks))}

    def _heard(self, logits: NDArray[np.float32]) -> Iterator[Heard]:
        """Repetitions are one token, blanks none."""
        settings, at = self._settings, 0
        real = logits[logits.any(axis=-1)]
        for token, alike in groupby(settings.tokens[number] for number in real.argmax(axis=-1).tolist()):
            start, at = at, at + len(list(alike))
            if token != settings.blank:
                yield Heard(settings.space if token == settings.delimiter else token, start, at)

    def _text(self, heard: Sequence[Heard]) -> str:
        text = "".join(one.text for one in heard).strip()
        return text.lower() if self._settings.lower_case else text

    def _chunks(self, heard: Sequence[Heard], unit: str) -> list[dict[str, Any]]:
        def seconds(frames: int) -> float:
            return frames * self._settings.frame / self._settings.rate

        parts = {"": [], "char": heard, "word": list(_words(heard, self._settings.space))}[unit]
        return [{"text": part.text, "timestamp": [seconds(part.start), seconds(part.stop)]} for part in parts]


def _words(heard: Sequence[Heard], space: str) -> Iterator[Heard]:
    """Tokens between spaces, together."""
    for is_space, alike in groupby(heard, key=lambda one: one.text == space):
        word = list(alike)
        if not is_space:
            yield Heard("".join(one.text for one in word), word[0].start, word[-1].stop)


def _column(texts: Any) -> NDArray[Any]:
    return np.array([[text.encode()] for text in texts], dtype=np.object_)


STEP = Transcribe
