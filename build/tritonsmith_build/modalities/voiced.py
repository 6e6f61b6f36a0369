"""Sounds made by chance, for builds whose spec names none: voices that glide, hisses and pauses, no two alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tritonsmith_steps.sounds import Samples

_SECONDS = (1.0, 4.0)
_PIECES = (0.08, 0.4)
"""Of which a sound is made, in seconds: a syllable or so."""


def voiced(seed: int, rate: int) -> Samples:
    """Some seconds of sound at ``rate`` samples a second, from -1 to 1, the same for the same seed.

    A piece is voiced (harmonics of a gliding pitch, louder near three formants), hissed, or silent but for a little noise.
    """
    draw = np.random.default_rng(seed)
    wanted = int(draw.uniform(*_SECONDS) * rate)
    pieces: list[NDArray[np.float64]] = []
    while sum(map(len, pieces)) < wanted:
        samples = int(draw.uniform(*_PIECES) * rate)
        kind = draw.choice(["voice", "voice", "hiss", "pause"])
        body = _voice(draw, samples, rate) if kind == "voice" else draw.standard_normal(samples) * (kind == "hiss") * 0.2
        # It swells and fades, as whatever is spoken.
        pieces.append(body * np.hanning(samples) * draw.uniform(0.2, 1.0))
    whole = np.concatenate(pieces)[:wanted]
    whole += draw.standard_normal(wanted) * 0.003
    made: Samples = (0.8 * whole / np.abs(whole).max()).astype(np.float32)
    return made


def _voice(draw: np.random.Generator, samples: int, rate: int) -> NDArray[np.float64]:
    first, last = draw.uniform(90, 280, 2).tolist()
    pitch = np.linspace(first, last, samples)
    turns = 2 * np.pi * np.cumsum(pitch) / rate
    formants = draw.uniform((250, 800, 2200), (900, 2400, 3200))
    out = np.zeros(samples)
    for number in range(1, int(0.45 * rate / pitch.max()) + 1):
        far = (number * pitch[:, None] - formants) / (60 + 0.05 * formants)
        out += np.sin(number * turns) * (0.02 / number + (1 / (1 + far**2)).sum(axis=1)) / number**0.5
    return out
