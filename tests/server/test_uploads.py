"""Files of strangers over the network: each bad one is its own caller's error, whatever is sent beside it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
import tiny_images
import tiny_sounds
from parity import Case, assert_same
from parity_images import IMAGE_CASES
from parity_sounds import SOUND_CASES
from PIL import Image
from served import Served, built_at_once, serving
from telling import at_length, told
from tiny_images import pictures
from tiny_sounds import sounds
from tritonsmith import AsyncClient, Client, InvalidInputError
from tritonsmith.codec import TASKS
from waiting import until


@dataclass(frozen=True)
class Upload:
    """A pipeline of files."""

    case: Case
    limits: str
    good: Sequence[bytes]
    bad: dict[bytes, str]
    """Each with how the server refuses it."""
    large: tuple[bytes, Sequence[object]]
    """Many megabytes, as a file and as it may be in memory."""
    secret: Sequence[bytes]
    """Files with ``CANARY`` in them, one that is answered and one that is refused."""
    step: str
    same: Callable[[Any, Any], None]
    """Raises AssertionError where two answers to the same, in company or alone, are not the same."""

    @property
    def noun(self) -> str:
        return TASKS[self.case.task].item


def exactly(actual: Any, wanted: Any) -> None:
    assert actual == wanted


def _case(cases: Sequence[Case], family: str, task: str) -> Case:
    return next(case for case in cases if (case.family, case.task) == (family, task))


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (2000, 2000, 3), dtype=np.uint8))
CANARY = b"canary9c02e4"
HALF_AN_HOUR = np.zeros(1800 * 8_000)
HISS = np.random.default_rng(1).uniform(-1, 1, 7 * 8 * 48_000).astype(np.float32).reshape(7, -1)
UPLOADS = [
    Upload(
        _case(IMAGE_CASES, "vit", "image-classification"),
        "[input]\nmax_bytes = 15000000\nmax_pixels = 5000000\n",
        tiny_images.files(),
        {
            b"": "no JPEG, PNG or WebP image; convert it",
            b"\xff\xd8\xff\xe0 not really": "the image is damaged",
            b"GIF89a and so on": "no JPEG, PNG or WebP image; convert it",
            tiny_images.encoded(pictures()[0], "PNG")[:200]: "the image is damaged",
            tiny_images.encoded(Image.new("L", (5000, 1001)), "PNG"): (
                "the image has 5000 x 1001 pixels; at most 5000000 are taken, shrink it"
            ),
            bytes(15_000_001): "15000001 bytes of image; at most 15000000 are taken, shrink it",
        },
        (tiny_images.encoded(NOISE, "PNG"), [NOISE, np.asarray(NOISE)]),
        (tiny_images.encoded(pictures()[0], "JPEG", comment=CANARY), b"\xff\xd8\xff\xe0" + CANARY),
        "_pixels",
        exactly,
    ),
    Upload(
        _case(SOUND_CASES, "wav2vec2", "audio-classification"),
        "max_bytes = 15000000\n",
        tiny_sounds.files(),
        {
            b"": "no WAV or FLAC recording; convert it",
            b"RIFF\0\0\0\0WAVE not really": "the recording is damaged",
            b"OggS and so on": "no WAV or FLAC recording; convert it",
            tiny_sounds.encoded(sounds()[3])[:-9]: "the recording is damaged (its file ends too early); save it again",
            tiny_sounds.encoded(sounds()[0][:0]): "the recording is empty; send one with sound in it",
            tiny_sounds.encoded(sounds()[0][:150]): "a recording of 9.4 ms; at least ",
            tiny_sounds.encoded(HALF_AN_HOUR, "FLAC", 8_000): "a recording of 1800.0 s; at most 8 s are taken, cut it",
            bytes(15_000_001): "15000001 bytes of sound; at most 15000000 are taken, shorten it or send it as FLAC",
        },
        (
            tiny_sounds.encoded(HISS.T, "WAV", 48_000, "FLOAT"),
            [{"array": HISS, "sampling_rate": 48_000}, {"raw": HISS.astype(np.float64), "sampling_rate": 48_000}],
        ),
        (tiny_sounds.encoded(np.frombuffer(CANARY * 500, np.int16), "WAV", 16_000), b"RIFF\0\0\0\0WAVE" + CANARY),
        "_waves",
        assert_same,  # a batch of several adds up in another order
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("uploads")
    specs = [upload.case.write(folder) for upload in UPLOADS]
    for spec, upload in zip(specs, UPLOADS, strict=True):
        spec.write_text(spec.read_text() + upload.limits)
    with serving(built_at_once(specs, folder / "repository"), folder / "log", "--no-cache", "--request-log-every=1") as served:
        at_length(served)
        yield served


each = pytest.mark.parametrize("upload", UPLOADS, ids=lambda upload: upload.noun)


def asked(pipe: Any, item: Any) -> Any:
    try:
        return pipe(item)
    except InvalidInputError as error:
        return error


@each
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_bad_files_fail_alone_among_good_ones(server: Served, protocol: str, upload: Upload) -> None:
    good = list(upload.good)
    sent = [file for pair in zip(good, islice(cycle(upload.bad), len(good)), strict=True) for file in pair]
    with Client(getattr(server, protocol)) as client, ThreadPoolExecutor(12) as pool:
        pipe = client.pipeline(upload.case.name)
        alone = [pipe(file) for file in good]
        together = list(pool.map(asked, cycle([pipe]), sent))
    for mine, theirs in zip(together[::2], alone, strict=True):
        assert_same(mine, theirs)
    for error, file in zip(together[1::2], cycle(upload.bad), strict=False):
        assert isinstance(error, InvalidInputError)
        assert error.item == 0
        assert error.reason.startswith(upload.bad[file])


@each
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_bad_file_of_a_list_is_named_by_its_place(server: Served, protocol: str, upload: Upload) -> None:
    with Client(getattr(server, protocol)) as client, pytest.raises(InvalidInputError) as caught:
        client.pipeline(upload.case.name)([*upload.good[:3], b"neither", *upload.good[3:5]])
    assert caught.value.item == 3


@each
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_file_of_many_megabytes_is_answered(server: Served, protocol: str, upload: Upload) -> None:
    file, in_memory = upload.large
    assert len(file) > 10_000_000
    with Client(getattr(server, protocol)) as client:
        pipe = client.pipeline(upload.case.name)
        expected = pipe(file)
        assert all(pipe(item) == expected for item in in_memory)

    async def ask() -> Any:
        async with AsyncClient(getattr(server, protocol)) as client:
            pipe = await client.pipeline(upload.case.name)
            return await pipe([file, *in_memory])

    upload.same(asyncio.run(ask()), [expected] * (1 + len(in_memory)))


@each
def test_nothing_of_a_file_is_told_to_anybody(server: Served, upload: Upload) -> None:
    answered, refused = upload.secret
    assert CANARY in answered
    for url in (server.grpc, server.http):
        with Client(url) as client:
            pipe = client.pipeline(upload.case.name)
            pipe(answered, request_id="good")
            with pytest.raises(InvalidInputError) as caught:
                pipe(refused, request_id="bad")
        assert CANARY.decode() not in str(caught.value)
    until(lambda: "refused" in server.requests.read_text().splitlines()[-1], "no line of the last request")
    heard = told(server)
    assert heard["requests"].count('"id": "good"') >= 2
    assert "[request id: good]" in heard["log"]
    assert {name: text.count(CANARY.decode()) for name, text in heard.items()} == dict.fromkeys(heard, 0)


@each
def test_a_pipeline_of_files_is_profiled(server: Served, upload: Upload) -> None:
    name = upload.case.name
    command = [sys.executable, "-m", "tritonsmith_build", "profile", name, f"--url={server.grpc}"]
    sweep = ["--concurrency=1,4", "--seconds=1", "--json"]
    said = json.loads(subprocess.run([*command, *sweep], capture_output=True, text=True, check=True).stdout)
    assert said[f"distinct_{upload.noun}s"] >= 16
    assert [step["model"].removeprefix(name) for step in said["levels"][0]["steps"]] == [upload.step, "_engine", "_classify"]
    assert all(level["requests"] and not level["errors"] for level in said["levels"])
