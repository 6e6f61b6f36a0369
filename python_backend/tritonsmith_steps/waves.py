"""Recordings to an engine's input: decoded, and normalized as the model's own feature extractor does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.files import FileReader
from tritonsmith_steps.items import TRUNCATED
from tritonsmith_steps.lengths import MASK
from tritonsmith_steps.settings import settings_from
from tritonsmith_steps.sounds import Samples, SoundLimits, sound
from tritonsmith_steps.tokenize import Padding

VALUES = "input_values"
Heard = NDArray[np.float32]
"""``[samples]`` of a wave, or ``[frames, bands]``."""


@dataclass(frozen=True)
class WaveSettings:
    """What a model's feature extractor does, and what may be sent."""

    max_bytes: int
    max_seconds: int
    rate: int
    """Samples a second."""
    least: int
    """Samples: less than that is nothing to the model."""
    buckets: Sequence[int] = ()
    """Lengths in samples that waves are filled up to."""
    zero_mean: bool = False
    """Whether a wave is shifted and scaled to mean 0 and variance 1."""
    bands: int | None = None
    """Where the model takes no wave: in how many bands of frequency its loudness is taken."""
    frames: int = 0
    """How many steps of time are kept then; fewer are filled up."""
    mean: float = 0.0
    std: float = 1.0


class WaveMaker:
    """One recording's engine input; the same for every recording of a model."""

    def __init__(self, settings: WaveSettings) -> None:
        self._settings = settings

    def __call__(self, samples: Samples) -> Heard:
        """FP32 ``[samples]`` or ``[frames, bands]`` of samples at the model's rate. Raises ValueError for too few."""
        settings = self._settings
        if len(samples) < settings.least:
            least = 1000 * settings.least / settings.rate
            raise ValueError(f"a recording of {1000 * len(samples) / settings.rate:.1f} ms; at least {least:.1f} ms are needed")
        if settings.bands:
            return self._bands(samples, settings.bands)
        if settings.zero_mean:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return samples.astype(np.float32, copy=False)

    def _bands(self, samples: Samples, bands: int) -> Heard:
        from tritonsmith_steps.bands import log_mel

        settings = self._settings
        found = log_mel(samples, settings.rate, bands)[: settings.frames]
        whole = np.pad(found, ((0, settings.frames - len(found)), (0, 0)))
        made: Heard = ((whole - settings.mean) / settings.std).astype(np.float32)
        return made

    def cuts(self, samples: int) -> bool:
        """Whether of so many samples some have no place in the engine's input."""
        step = self._settings.rate // 100
        return bool(self._settings.bands) and samples - self._settings.least >= self._settings.frames * step


class WaveStep:
    """``AUDIO`` (a WAV or FLAC file ``[rows, 1]``) to FP32 ``input_values`` and, of waves, INT32 ``attention_mask``.

    Waves are ``[rows, samples]``, as long as the longest, or with ``padding="bucket"`` as the next bucket; else the values are
    ``[rows, frames, bands]``, and ``TRUNCATED`` says whether there was more.
    """

    ROOM = "sends"

    def __init__(self, settings: WaveSettings, *, padding: Padding, count: Count) -> None:
        self._settings, self._padding, self._count, self._make = settings, padding, count, WaveMaker(settings)
        self._limits = SoundLimits(settings.max_bytes, settings.max_seconds)
        self._read = FileReader("AUDIO", "recording", self._heard, self._together)

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> WaveStep:
        """From a version folder with ``step.json``."""
        padding: Any = parameters.get("padding", "bucket")
        return cls(settings_from(folder, WaveSettings), padding=padding, count=count)

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a bad recording is its own request's error."""
        return self._read(requests)

    def _heard(self, file: bytes) -> tuple[Heard, int]:
        samples = sound(file, self._limits, self._settings.rate)
        return self._make(samples), len(samples)

    def _together(self, made: Sequence[tuple[Heard, int]]) -> Result:
        self._count("samples", sum(samples for _, samples in made))
        cut = [self._make.cuts(samples) for _, samples in made]
        self._count("truncated", sum(cut))
        values = [one for one, _ in made]
        if self._settings.bands:
            return {VALUES: np.stack(values), TRUNCATED: np.array(cut)[:, None]}
        return waves_of(values, self._length(max(map(len, values))))

    def _length(self, longest: int) -> int:
        if self._padding == "longest":
            return longest
        return next(bucket for bucket in self._settings.buckets if bucket >= longest)


def waves_of(waves: Sequence[Heard], length: int) -> Arrays:
    """Waves as rows of one length, and a mask of where they are."""
    values = np.zeros((len(waves), length), np.float32)
    mask = np.zeros((len(waves), length), np.int32)
    for row, wave in enumerate(waves):
        values[row, : len(wave)] = wave
        mask[row, : len(wave)] = 1
    return {VALUES: values, MASK: mask}


STEP = WaveStep
