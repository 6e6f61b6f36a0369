"""Images of strangers over the network: each bad one is its own caller's error, whatever is sent beside it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
from parity import assert_same
from parity_images import IMAGE_CASES
from PIL import Image
from served import Served, built_at_once, serving
from tiny_images import encoded, files, pictures
from tritonsmith import AsyncClient, Client, InvalidInputError

VIT = next(case for case in IMAGE_CASES if (case.family, case.task) == ("vit", "image-classification"))
LIMITS = "[input]\nmax_bytes = 15000000\nmax_pixels = 5000000\n"
NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (2000, 2000, 3), dtype=np.uint8))
BAD = {
    b"": "no JPEG, PNG or WebP image; convert it",
    b"\xff\xd8\xff\xe0 not really": "the image is damaged",
    b"GIF89a and so on": "no JPEG, PNG or WebP image; convert it",
    encoded(pictures()[0], "PNG")[:200]: "the image is damaged",
    encoded(Image.new("L", (5000, 1001)), "PNG"): "the image has 5000 x 1001 pixels; at most 5000000 are taken, shrink it",
    bytes(15_000_001): "15000001 bytes of image; at most 15000000 are taken, shrink it",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("uploads")
    spec = VIT.write(folder)
    spec.write_text(spec.read_text() + LIMITS)
    with serving(built_at_once([spec], folder / "repository"), folder / "log", "--no-cache") as served:
        yield served


def asked(pipe: Any, image: Any) -> Any:
    try:
        return pipe(image)
    except InvalidInputError as error:
        return error


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_bad_images_fail_alone_among_good_ones(photos: Served, protocol: str) -> None:
    good = files()
    sent = [image for pair in zip(good, islice(cycle(BAD), len(good)), strict=True) for image in pair]
    with Client(getattr(photos, protocol)) as client, ThreadPoolExecutor(12) as pool:
        pipe = client.pipeline(VIT.name)
        alone = [pipe(image) for image in good]
        together = list(pool.map(asked, cycle([pipe]), sent))
    for mine, theirs in zip(together[::2], alone, strict=True):
        assert_same(mine, theirs)
    for error, image in zip(together[1::2], cycle(BAD), strict=False):
        assert isinstance(error, InvalidInputError)
        assert error.item == 0
        assert error.reason.startswith(BAD[image])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_bad_image_of_a_list_is_named_by_its_place(photos: Served, protocol: str) -> None:
    with Client(getattr(photos, protocol)) as client, pytest.raises(InvalidInputError) as caught:
        client.pipeline(VIT.name)([*files()[:3], b"no image", *files()[3:5]])
    assert caught.value.item == 3


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_image_of_many_megabytes_is_answered(photos: Served, protocol: str) -> None:
    large = encoded(NOISE, "PNG")
    assert len(large) > 10_000_000
    with Client(getattr(photos, protocol)) as client:
        pipe = client.pipeline(VIT.name)
        assert pipe(large) == pipe(NOISE) == pipe(np.asarray(NOISE))

    async def ask() -> Any:
        async with AsyncClient(getattr(photos, protocol)) as client:
            pipe = await client.pipeline(VIT.name)
            return await pipe([large, NOISE])

    first, second = asyncio.run(ask())
    assert first == second


def test_a_pipeline_of_images_is_profiled(photos: Served) -> None:
    command = [sys.executable, "-m", "tritonsmith_build", "profile", VIT.name, f"--url={photos.grpc}"]
    sweep = ["--concurrency=1,4", "--seconds=1", "--json"]
    said = json.loads(subprocess.run([*command, *sweep], capture_output=True, text=True, check=True).stdout)
    assert said["distinct_images"] == 32
    assert [step["model"].removeprefix(VIT.name) for step in said["levels"][0]["steps"]] == ["_pixels", "_engine", "_classify"]
    assert all(level["requests"] and not level["errors"] for level in said["levels"])
