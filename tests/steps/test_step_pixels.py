"""Pixels as the models' own processors make them, and a step that answers each request by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tally import Tally
from tiny_images import encoded, pictures
from transformers import CLIPImageProcessorPil, DetrImageProcessorPil, ViTImageProcessorPil, YolosImageProcessorPil
from transformers.image_transforms import center_crop, get_size_with_aspect_ratio
from transformers.image_utils import ChannelDimension
from tritonsmith_steps.pixels import SIZE, PixelMaker, PixelSettings, PixelStep

LIMITS: dict[str, Any] = {"max_bytes": 10**6, "max_pixels": 10**6}
IMAGENET: dict[str, Any] = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SQUARE = PixelSettings(**LIMITS, size=(24, 32), resample=3, **IMAGENET)
sides = st.integers(1, 400)


def column(*files: bytes) -> dict[str, Any]:
    """A request."""
    return {"IMAGE": np.array([[file] for file in files], dtype=np.object_)}


PNGS = [encoded(image, "PNG") for image in pictures()]

PROCESSORS = [
    (
        ViTImageProcessorPil(
            size={"height": 24, "width": 32}, resample=3, image_mean=IMAGENET["mean"], image_std=IMAGENET["std"]
        ),
        SQUARE,
    ),
    (
        CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 36, "width": 48}),
        PixelSettings(
            **LIMITS, shortest=40, crop=(36, 48), resample=3, scale=1 / 255,
            mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711),
        ),
    ),
    (
        DetrImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 100}),
        PixelSettings(**LIMITS, shortest=60, longest=100, **IMAGENET),
    ),
    (
        YolosImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 100}),
        PixelSettings(**LIMITS, shortest=60, longest=100, multiple=16, **IMAGENET),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("processor", "wanted"), PROCESSORS, ids=["size", "shortest and crop", "longest", "multiple"])
def test_pixels_are_those_of_the_processor(processor: Any, wanted: PixelSettings) -> None:
    make = PixelMaker(wanted)
    for image in pictures():
        expected = processor(images=[image], return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(make(image), expected, atol=1e-6)


@given(sides, sides, st.integers(8, 300), st.one_of(st.none(), st.integers(1, 400)))
def test_sides_keep_their_proportion_as_transformers_keeps_it(height: int, width: int, shortest: int, more: int | None) -> None:
    longest = None if more is None else shortest + more
    made = PixelSettings(**LIMITS, shortest=shortest, longest=longest).resized(height, width)
    assert made == get_size_with_aspect_ratio((height, width), shortest, longest)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30))
def test_the_middle_is_cut_out_as_transformers_cuts_it(height: int, width: int, crop_height: int, crop_width: int) -> None:
    array = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = PixelMaker(PixelSettings(**LIMITS, crop=(crop_height, crop_width)))(Image.fromarray(array))
    expected = center_crop(array, (crop_height, crop_width), input_data_format=ChannelDimension.LAST)
    np.testing.assert_array_equal(made, expected.transpose(2, 0, 1))


def test_each_request_gets_its_own_images_in_order() -> None:
    count = Tally()
    step = PixelStep(SQUARE, count)
    results: list[Any] = step([column(*PNGS[:3]), column(PNGS[3]), column(*PNGS[4:])])
    make = PixelMaker(SQUARE)
    expected = [make(image) for image in pictures()]
    assert [len(result["pixel_values"]) for result in results] == [3, 1, 5]
    np.testing.assert_array_equal(np.concatenate([result["pixel_values"] for result in results]), expected)
    assert results[0].keys() == {"pixel_values"}
    assert count["pixels"] == sum(image.width * image.height for image in pictures())


def test_a_bad_image_is_its_own_requests_error() -> None:
    good, bad, none = PixelStep(SQUARE, Tally())([column(PNGS[0]), column(PNGS[1], b"no image"), column()])
    assert isinstance(good, dict)
    assert str(bad) == "item 1: no JPEG, PNG or WebP image; convert it"
    assert str(none) == "no image was given; give at least one"


def test_the_size_before_resizing_goes_along_where_a_later_step_needs_it() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    step = PixelStep(PixelSettings(**LIMITS, size=(8, 8), beside=[SIZE]), Tally())
    (result,) = step([column(PNGS[0], encoded(pictures()[0], "JPEG", exif=turned))])
    assert isinstance(result, dict)
    assert result[SIZE].dtype == np.int32
    assert result[SIZE].tolist() == [[61, 97], [97, 61]]


def test_images_of_a_request_that_come_out_in_different_sizes_are_to_be_sent_apart() -> None:
    step = PixelStep(PixelSettings(**LIMITS, shortest=32, longest=64), Tally())
    together, alone = step([column(PNGS[0], PNGS[1]), column(PNGS[1])])
    assert str(together) == "the images of a request come out in different sizes; send them apart"
    assert isinstance(alone, dict)


@pytest.mark.parametrize(
    ("wanted", "size", "reason"),
    [
        ({"shortest": 256}, (1, 5000), "an image of 1 x 5000 pixels is too narrow; cut it"),
        ({"shortest": 64, "longest": 96, "multiple": 16}, (10, 500), "an image of 10 x 500 pixels is too narrow; cut it"),
        ({"shortest": 64, "longest": 96, "least": 16}, (10, 500),
         "only 2 x 96 pixels remain of the image; send one that is less narrow"),
    ],
    ids=["millions of pixels", "nothing remains", "too little remains"],
)  # fmt: skip
def test_a_narrow_image_is_refused_before_it_costs_anything(wanted: Any, size: tuple[int, int], reason: str) -> None:
    (result,) = PixelStep(PixelSettings(**LIMITS, **wanted), Tally())([column(encoded(Image.new("RGB", size), "PNG"))])
    assert str(result) == f"item 0: {reason}"
