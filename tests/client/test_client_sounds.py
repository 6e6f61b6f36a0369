from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tritonsmith import InvalidInputError
from tritonsmith.calls import Call
from tritonsmith.codec import ModelInfo, encoded
from tritonsmith.sounds import KINDS, decode_transcripts, encode_sounds

SAMPLES = np.random.default_rng(1).uniform(-2, 2, 1001).astype(np.float32)


def sent(call: Call) -> list[Any]:
    """What each request has."""
    assert all(request["AUDIO"].shape == (1, 1) for request in call.requests)
    return [request["AUDIO"][0, 0] for request in call.requests]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, str, Path])
def test_a_file_goes_as_it_is(tmp_path: Path, kind: Any) -> None:
    (tmp_path / "a sound.wav").write_bytes(b"RIFF whatever")
    given = kind(b"RIFF whatever") if kind not in (str, Path) else kind(tmp_path / "a sound.wav")
    call = encode_sounds(given, 8)
    assert sent(call) == [b"RIFF whatever"]
    assert call.single


@pytest.mark.parametrize("key", ["array", "raw"])
@pytest.mark.parametrize(
    "samples",
    [SAMPLES, SAMPLES.astype(np.float64), np.stack([SAMPLES, -SAMPLES]), SAMPLES.astype(">f4"), SAMPLES[::2]],
    ids=["float32", "float64", "two channels", "other bytes", "a view"],
)
def test_samples_in_memory_lose_nothing_and_keep_their_rate(samples: Any, key: str) -> None:
    (file,) = sent(encode_sounds({key: samples, "sampling_rate": np.int64(11_025)}, 8))
    read, rate = soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True)
    assert rate == 11_025
    np.testing.assert_array_equal(read.T, np.atleast_2d(samples).astype(np.float32))
    assert soundfile.info(io.BytesIO(file)).subtype == "FLOAT"


def test_several_recordings_go_one_a_request() -> None:
    call = encode_sounds([b"RIFF", {"array": SAMPLES, "sampling_rate": 8000}], 8)
    assert len(sent(call)) == 2
    assert (call.offsets, call.single) == ((0, 1), False)


@pytest.mark.parametrize(
    ("recordings", "item", "reason"),
    [
        ([], None, "no recording was given; give at least one"),
        ([b"a", 5], 1, f"a recording is needed ({KINDS}), not int"),
        (SAMPLES, 0, "an array of sound needs its rate; give {'array': …, 'sampling_rate': 16000}"),
        ({"array": SAMPLES}, 0, "a recording is {'array': …, 'sampling_rate': 16000}, not the keys 'array'"),
        ({"array": np.zeros(5, np.int16), "sampling_rate": 8000}, 0,
         "an array of sound is float [samples] or [channels, samples], not int16 [5]"),
        ({"array": np.zeros((1, 2, 3)), "sampling_rate": 8000}, 0,
         "an array of sound is float [samples] or [channels, samples], not float64 [1, 2, 3]"),
        ({"array": SAMPLES, "sampling_rate": 0}, 0, "a sampling_rate of 0 is none; give samples a second"),
        ({"array": SAMPLES, "sampling_rate": 16e3}, 0, "a sampling_rate of 16000.0 is none; give samples a second"),
        (["no such.wav"], 0, f"no such.wav: No such file or directory; give {KINDS}"),
        ([b"a", "a\0b"], 1, f"a\0b: embedded null byte; give {KINDS}"),
    ],
    ids=["none", "number", "no rate", "keys", "integers", "dims", "rate", "float rate", "no file", "no path"],
)  # fmt: skip
def test_what_is_no_recording_is_refused_before_anything_is_sent(recordings: Any, item: Any, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_sounds(recordings, 8)
    assert (caught.value.item, caught.value.reason) == (item, reason)


@pytest.mark.parametrize("single", [True, False])
def test_transcripts_have_chunks_where_times_are_asked_for(single: bool) -> None:
    chunks = [{"text": "é", "timestamp": [0.5, 0.75]}]
    said = {"TRANSCRIPT": "é", "CHUNKS": json.dumps(chunks)}
    outputs = [{name: np.array([[text.encode()]], dtype=object) for name, text in said.items()}]
    call = Call(({},), (0,), single)
    plain, timed = {"text": "é"}, {"text": "é", "chunks": [{"text": "é", "timestamp": (0.5, 0.75)}]}
    assert decode_transcripts(outputs, call) == (plain if single else [plain])
    assert decode_transcripts(outputs, call, return_timestamps="char") == (timed if single else [timed])


def test_the_unit_of_times_travels_to_the_server() -> None:
    info = ModelInfo("notes", "automatic-speech-recognition", 8)
    call = encoded(info, [b"RIFF", b"RIFF"], {"return_timestamps": "word"})
    assert [request["RETURN_TIMESTAMPS"].tolist() for request in call.requests] == [[[b"word"]]] * 2
    with pytest.raises(InvalidInputError, match="return_timestamps cannot be 'line'; give one of char, word"):
        encoded(info, b"RIFF", {"return_timestamps": "line"})
