"""Recordings as they come from strangers: checked before they cost anything, then decoded to one channel at one rate."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

FORMATS = ("WAV", "WAVEX", "FLAC")
"""What is decoded: each further one would be more code for strangers to attack."""
_MAGIC = (b"RIFF", b"fLaC")
_CHANNELS = 8
_RATES = (4_000, 192_000)
_STREAMED = (0, 0xFFFFFFFF)
"""The length of a WAV file whose writer did not know it."""

Samples = NDArray[np.float32]
"""``[samples]``, from -1 to 1."""


@dataclass(frozen=True)
class SoundLimits:
    """What may be sent."""

    max_bytes: int
    """Of one file."""
    max_seconds: int
    """Of one recording, which a small file may make very long."""


def sound(data: bytes, limits: SoundLimits, rate: int) -> Samples:
    """A file's samples at ``rate`` a second, the mean of its channels.

    Raises ValueError with what to do about it.
    """
    if len(data) > limits.max_bytes:
        raise ValueError(f"{len(data)} bytes of sound; at most {limits.max_bytes} are taken, shorten it or send it as FLAC")
    if not data.startswith(_MAGIC):
        raise ValueError("no WAV or FLAC recording; convert it")
    if data.startswith(b"RIFF") and (said := int.from_bytes(data[4:8], "little")) not in _STREAMED and said + 8 > len(data):
        raise ValueError("the recording is damaged (its file ends too early); save it again")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check(file, limits)
            read = file.read(dtype="float32", always_2d=True)
            damaged = "its file ends too early" if len(read) < file.frames else ""
    except soundfile.SoundFileError as error:  # truncated, or not what its header says
        damaged = str(error).strip().rstrip(".")
    if damaged:
        raise ValueError(f"the recording is damaged ({damaged}); save it again")
    mono: Samples = read.mean(axis=1, dtype=np.float32) if read.shape[1] > 1 else read[:, 0]
    if not np.isfinite(mono).all():
        raise ValueError("the recording has samples that are no numbers; save it again")
    # At its own rate it stays as it is, to the last bit.
    return mono if file.samplerate == rate else soxr.resample(mono, file.samplerate, rate)


def _check(file: soundfile.SoundFile, limits: SoundLimits) -> None:
    if file.format not in FORMATS:
        raise ValueError(f"a recording as {file.format}; convert it to WAV or FLAC")
    if not 1 <= file.channels <= _CHANNELS:
        raise ValueError(f"a recording of {file.channels} channels; at most {_CHANNELS} are taken, mix it")
    if not _RATES[0] <= file.samplerate <= _RATES[1]:
        raise ValueError(f"a recording of {file.samplerate} samples a second; from {_RATES[0]} to {_RATES[1]} are taken")
    if not file.frames:
        raise ValueError("the recording is empty; send one with sound in it")
    if file.frames > limits.max_seconds * file.samplerate:
        seconds = file.frames / file.samplerate
        raise ValueError(f"a recording of {seconds:.1f} s; at most {limits.max_seconds} s are taken, cut it")
