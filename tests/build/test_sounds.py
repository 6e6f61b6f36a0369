"""Recordings as a build's own data: made ones, folders of files, and the shapes that engines are prepared for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sounds import RATE, encoded, sounds
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import SoundFacts
from tritonsmith_build.modalities.sounds import SOUNDS
from tritonsmith_build.modalities.voiced import voiced
from tritonsmith_build.modality import Axis
from tritonsmith_build.outputs import counted
from tritonsmith_build.profiling.asking import recordings_for
from tritonsmith_build.tasks import TASKS
from tritonsmith_steps.sounds import SoundLimits, sound
from workbench import write_spec

TASK = TASKS["audio-classification"]


def facts(**changes: Any) -> SoundFacts:
    usual = {"model_type": "hubert", "weights": {}, "width": 3, "rate": RATE, "least": 400, "max_seconds": 5, "buckets": (1, 5)}
    return SoundFacts.model_validate(usual | changes)


BANDS = facts(bands=16, frames=50, buckets=())


def samples(folder: Path, read: SoundFacts | None = None, purpose: Any = "gate", **tables: Any) -> Any:
    spec = write_spec(folder, task="audio-classification", **tables)
    return SOUNDS.samples(spec, read or facts(), TASK, folder, purpose)


def test_sounds_are_made_the_same_each_time_and_no_two_alike() -> None:
    np.testing.assert_array_equal(voiced(5, RATE), voiced(5, RATE))
    made = [voiced(seed, RATE) for seed in range(12)]
    assert all(0.5 < np.abs(one).max() <= 1 and np.isfinite(one).all() for one in made)
    assert len({len(one) for one in made}) == 12
    shortest = min(map(len, made))
    worst = max(abs(np.corrcoef(one[:shortest], other[:shortest])[0, 1]) for at, one in enumerate(made) for other in made[:at])
    assert worst < 0.3


def test_gate_and_calibration_of_a_spec_that_names_none_share_no_sound(tmp_path: Path) -> None:
    gate, calibration = samples(tmp_path), samples(tmp_path, purpose="calibration")
    assert len(gate) == len(calibration) == 32
    assert set(gate.key).isdisjoint(calibration.key)
    assert not gate.labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, two recordings each, and a file that is none."""
    for at, one in enumerate(sounds()[:4]):
        place = tmp_path / "data" / ("dog" if at % 2 else "speech")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{at}.{'flac' if at == 3 else 'WAV'}").write_bytes(encoded(one, "FLAC" if at == 3 else "WAV"))
    (tmp_path / "data" / "notes.txt").write_text("none")
    return tmp_path


def test_a_folder_of_recordings_has_the_classes_that_its_folders_are_named_after(folder: Path) -> None:
    made = samples(folder, gate={"data": "data"})
    assert made.labels == ["dog", "dog", "speech", "speech"]
    first, second = made.batches(2)
    assert (first["input_values"].shape, second["input_values"].shape) == ((2, 2 * RATE), (2, RATE))
    assert first["attention_mask"].sum(axis=1).tolist() == [3200, 2 * RATE]
    assert made.first(1).labels == ["dog"]


def test_a_batch_for_a_plan_has_a_buckets_length(folder: Path) -> None:
    shapes = [batch["input_values"].shape for batch in samples(folder, gate={"data": "data"}).batches(2, as_on_gpu=True)]
    assert shapes == [(2, 5 * RATE), (2, RATE)]


def test_a_recording_that_cannot_be_used_is_named(folder: Path) -> None:
    (folder / "data" / "dog" / "1.WAV").write_bytes(b"RIFF and nothing")
    with pytest.raises(
        SmithError, match=r"data/dog/1\.WAV: cannot be used in the gate or calibration data \(the recording is d"
    ):
        list(samples(folder, gate={"data": "data"}).batches(4))


def test_a_folder_without_recordings_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(SmithError, match=r"data: holds no recording; give a folder with \.wav, \.flac files"):
        samples(tmp_path, gate={"data": "data"})


def test_a_full_batch_of_a_shape_has_short_and_whole_rows_and_one_of_padding(tmp_path: Path) -> None:
    shape = SOUNDS.shapes(facts())[1]
    batch = samples(tmp_path).at(5, shape, blank=True)
    lengths = batch["attention_mask"].sum(axis=1)
    assert batch["input_values"].shape == (5, 5 * RATE)
    assert (lengths[0], lengths[2], lengths[4]) == (5 * RATE, 5 * RATE, 0)
    assert 400 <= lengths[1] < 5 * RATE
    assert not batch["input_values"][4].any()


def test_waves_are_prepared_for_a_bucket_each_and_bands_in_their_one_shape(tmp_path: Path) -> None:
    dims = {shape.name: shape.dims["input_values"] for shape in SOUNDS.shapes(facts())}
    assert dims == {"1 s": (RATE,), "5 s": (5 * RATE,)}
    assert SOUNDS.axes(facts())["attention_mask"] == (Axis("samples", 400, 5 * RATE, example=4000),)
    assert SOUNDS.axes(BANDS) == {"input_values": (50, 16)}
    (shape,) = SOUNDS.shapes(BANDS)
    assert (shape.name, samples(tmp_path, BANDS).at(3, shape)["input_values"].shape) == ("50 frames", (3, 50, 16))
    assert [batch["input_values"].shape for batch in samples(tmp_path, BANDS).batches(20)] == [(20, 50, 16), (12, 50, 16)]


def test_frames_of_padding_are_not_counted() -> None:
    output = np.zeros((2, 3, 4), np.float32)
    output[0, :2], output[1, :1] = 1, 2
    batch = {"input_values": np.ones((2, 960), np.float32), "attention_mask": np.ones((2, 960), np.int32)}
    assert counted(output, batch)[:, 0].tolist() == [1, 1, 2]


def test_a_pipeline_is_profiled_with_files_that_it_can_read(folder: Path) -> None:
    made = recordings_for(None)
    assert len(set(made)) == len(made) == 16
    assert all(len(sound(file, SoundLimits(10**6, 5), RATE)) >= RATE for file in made)
    assert len(recordings_for(folder / "data")) == 4
