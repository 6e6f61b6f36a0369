"""Recordings of strangers: what is sound is read exactly, what would hurt is refused before it does."""

from __future__ import annotations

import contextlib
import io
import struct
import wave
from math import gcd
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly
from tiny_sounds import RATE, encoded, files, sounds
from tritonsmith_steps.sounds import SoundLimits, sound

FILES = files()
LIMITS = SoundLimits(max_bytes=400_000, max_seconds=4)
WAV, FLAC = encoded(sounds()[0]), encoded(sounds()[0], "FLAC")


def tone(hertz: float, rate: int, seconds: float = 1.0) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def test_sixteen_bits_are_read_as_pythons_own_reader_has_them() -> None:
    with wave.open(io.BytesIO(WAV)) as read:
        samples = np.frombuffer(read.readframes(read.getnframes()), "<i2")
    for file in (WAV, encoded(samples, "FLAC")):
        np.testing.assert_array_equal(sound(file, LIMITS, RATE), (samples / 32768).astype(np.float32))


def test_channels_become_their_mean() -> None:
    left, right = sounds()[0], sounds()[3][: len(sounds()[0])]
    read = sound(encoded(np.stack([left, right], axis=1), subtype="FLOAT"), LIMITS, RATE)
    np.testing.assert_allclose(read, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_another_rate_is_resampled_as_another_library_does_it(rate: int) -> None:
    original = tone(440, rate) + tone(1500, rate) * 0.5
    read = sound(encoded(original, rate=rate, subtype="FLOAT"), SoundLimits(10**7, 4), RATE)
    common = gcd(rate, RATE)
    expected = resample_poly(original, RATE // common, rate // common)
    assert abs(len(read) - len(expected)) <= 1
    middle = slice(RATE // 4, 3 * RATE // 4)  # libraries differ at the ends
    np.testing.assert_allclose(read[middle], expected[middle], atol=2e-3)


def test_what_a_lower_rate_cannot_carry_is_filtered_out() -> None:
    read = sound(encoded(tone(20_000, 48_000), rate=48_000, subtype="FLOAT"), SoundLimits(10**7, 4), RATE)
    assert np.abs(read[1000:-1000]).max() < 1e-3


def _wav(channels: int = 1, rate: int = RATE, bits: int = 16, code: int = 1, data: bytes = b"\0" * 3200) -> bytes:
    """A WAV file that says so of itself."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def test_a_wav_file_whose_writer_did_not_know_its_length_is_read() -> None:
    with_unknown = WAV[:4] + b"\xff" * 4 + WAV[8:]
    np.testing.assert_array_equal(sound(with_unknown, LIMITS, RATE), sound(WAV, LIMITS, RATE))


NOT_A_NUMBER = np.full(3000, np.nan, np.float32)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"no WAV or FLAC recording; convert it"),
        (b"ID3\x03" + WAV, r"no WAV or FLAC recording; convert it"),
        (encoded(sounds()[0], "OGG"), r"no WAV or FLAC recording; convert it"),
        (encoded(sounds()[0], "AIFF"), r"no WAV or FLAC recording; convert it"),
        (WAV[: len(WAV) // 2], r"the recording is damaged \(its file ends too early\); save it again"),
        (FLAC[: len(FLAC) // 2], r"the recording is damaged \(.+\); save it again"),
        (b"fLaC" + b"\0" * 90, r"the recording is damaged \(.+\); save it again"),
        (b"\0" * 400_001, r"400001 bytes of sound; at most 400000 are taken, shorten it or send it as FLAC"),
        (_wav(data=b""), r"the recording is empty; send one with sound in it"),
        (encoded(np.zeros(8000 * 5), "FLAC", 8000), r"a recording of 5\.0 s; at most 4 s are taken, cut it"),
        (_wav(channels=9, data=b"\0" * 18 * 50), r"a recording of 9 channels; at most 8 are taken, mix it"),
        (_wav(rate=3_999), r"a recording of 3999 samples a second; from 4000 to 192000 are taken"),
        (_wav(rate=2_000_000), r"a recording of 2000000 samples a second; from 4000 to 192000 are taken"),
        (encoded(NOT_A_NUMBER, subtype="FLOAT"), r"the recording has samples that are no numbers; save it again"),
    ],
    ids=[
        "none", "magic", "ogg", "aiff", "half a wav", "half a flac", "no flac", "bytes", "empty", "long", "channels", "slow",
        "fast", "nan",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_what_to_do(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        sound(data, LIMITS, RATE)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 300), st.binary(min_size=1, max_size=40))
def test_whatever_is_wrong_inside_a_file_is_its_own_error(file: bytes, place: int, noise: bytes) -> None:
    data = bytearray(file)
    data[place : place + len(noise)] = noise
    with contextlib.suppress(ValueError):  # no other error
        read = sound(bytes(data), LIMITS, RATE)
        assert read.dtype == np.float32
        assert len(read) <= 4 * RATE + 1
        assert np.isfinite(read).all()
