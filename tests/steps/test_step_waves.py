"""Waves and bands as the models' own feature extractors make them, and a step that answers each request by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import Tally
from tiny_sounds import RATE, encoded, files, sounds
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor
from tritonsmith_steps.waves import WaveMaker, WaveSettings, WaveStep

LIMITS: dict[str, Any] = {"max_bytes": 10**6, "max_seconds": 4, "rate": RATE, "least": 400}
WAVE = WaveSettings(**LIMITS, zero_mean=True, buckets=[RATE, 2 * RATE, 4 * RATE])
BANDS = WaveSettings(**LIMITS, bands=128, frames=100, mean=-4.2677393, std=2 * 4.5689974)


def column(*recordings: bytes) -> dict[str, Any]:
    """A request."""
    return {"AUDIO": np.array([[file] for file in recordings], dtype=np.object_)}


@pytest.mark.parametrize(
    ("extractor", "wanted"),
    [
        (Wav2Vec2FeatureExtractor(), WAVE),
        (Wav2Vec2FeatureExtractor(do_normalize=False), WaveSettings(**LIMITS)),
        (ASTFeatureExtractor(max_length=100), BANDS),
        (
            ASTFeatureExtractor(max_length=400, num_mel_bins=40, mean=-6.0, std=2.0),
            WaveSettings(**LIMITS, bands=40, frames=400, mean=-6.0, std=4.0),
        ),
    ],
    ids=["wave", "wave as it is", "bands, cut", "bands, filled up"],
)  # fmt: skip
def test_values_are_those_of_the_feature_extractor(extractor: Any, wanted: WaveSettings) -> None:
    make = WaveMaker(wanted)
    for sound in sounds():
        expected = extractor(sound, sampling_rate=RATE, return_tensors="np")["input_values"][0]
        made = make(sound)
        assert made.dtype == np.float32
        assert made.shape == expected.shape
        np.testing.assert_allclose(made, expected, atol=1e-4)


def test_silence_is_zero_and_no_division_by_it() -> None:
    assert not WaveMaker(WAVE)(np.zeros(1000, np.float32)).any()


@pytest.mark.parametrize("wanted", [WAVE, BANDS], ids=["wave", "bands"])
def test_what_is_too_short_for_the_model_is_refused(wanted: WaveSettings) -> None:
    make = WaveMaker(wanted)
    assert make(sounds()[0][:400]).size
    with pytest.raises(ValueError, match=r"^a recording of 24\.9 ms; at least 25\.0 ms are needed$"):
        make(sounds()[0][:399])


@pytest.mark.parametrize(("padding", "lengths"), [("longest", (48_000, 16_000)), ("bucket", (64_000, 16_000))])
def test_each_request_gets_its_own_rows_filled_up_to_one_length(padding: Any, lengths: tuple[int, int]) -> None:
    tally = Tally()
    step = WaveStep(WAVE, padding=padding, count=tally)
    several, one = step([column(*(encoded(sounds()[at]) for at in (1, 6, 2))), column(encoded(sounds()[0]))])
    assert isinstance(several, dict)
    assert isinstance(one, dict)
    assert (several["input_values"].shape, one["input_values"].shape) == ((3, lengths[0]), (1, lengths[1]))
    assert several["attention_mask"].sum(axis=1).tolist() == [3200, 48_000, 11_200]
    assert not several["input_values"][several["attention_mask"] == 0].any()
    (alone,) = step([column(encoded(sounds()[2]))])
    assert isinstance(alone, dict)
    np.testing.assert_array_equal(several["input_values"][2, :11_200], alone["input_values"][0, :11_200])
    assert tally["samples"] == 3200 + 48_000 + 11_200 + 16_000 + 11_200


def test_a_bad_recording_is_its_own_requests_error() -> None:
    step = WaveStep(WAVE, padding="longest", count=Tally())
    good, bad, none = step([column(files()[0]), column(files()[0], b"RIFF?", files()[1]), column()])
    assert isinstance(good, dict)
    assert str(bad) == "item 1: no WAV or FLAC recording; convert it" or str(bad).startswith("item 1: the recording is damaged")
    assert str(none) == "no recording was given; give at least one"


@given(st.integers(400, 30_000))
def test_a_recording_is_counted_as_cut_where_a_window_of_it_has_no_place(samples: int) -> None:
    wanted = WaveSettings(**LIMITS, bands=8, frames=50)
    windows = 1 + (samples - 400) // 160
    assert WaveMaker(wanted).cuts(samples) == (windows > 50)
    assert not WaveMaker(WAVE).cuts(samples)


def test_what_is_cut_is_counted() -> None:
    tally = Tally()
    results = WaveStep(BANDS, padding="bucket", count=tally)([column(encoded(sounds()[3])), column(encoded(sounds()[1]))])
    assert [result["input_values"].shape for result in results if isinstance(result, dict)] == [(1, 100, 128)] * 2
    assert tally["truncated"] == 1
    assert [result["TRUNCATED"].tolist() for result in results if isinstance(result, dict)] == [[[True]], [[False]]]
