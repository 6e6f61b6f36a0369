"""Files of strangers: what transformers reads is read alike, what would hurt is refused before it does."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_images import encoded, files, pictures
from transformers.image_utils import load_image
from tritonsmith_steps.pictures import PictureLimits, picture

LIMITS = PictureLimits(max_bytes=200_000, max_pixels=200_000)
FILES = dict(enumerate(files()))
JPEG = encoded(pictures()[0], "JPEG")


@pytest.mark.parametrize("number", FILES)
def test_an_image_is_read_as_transformers_reads_it(number: int) -> None:
    image = picture(FILES[number], LIMITS)
    expected = load_image(Image.open(io.BytesIO(FILES[number])))
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_a_phones_photograph_is_turned_upright() -> None:
    assert picture(FILES[9], LIMITS).size == pictures()[3].size[::-1]


def _png_that_says(width: int, height: int) -> bytes:
    """Small, and of so many pixels as it claims."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"no JPEG, PNG or WebP image; convert it"),
        (b"GIF89a" + JPEG, r"no JPEG, PNG or WebP image; convert it"),
        (encoded(pictures()[0], "GIF"), r"no JPEG, PNG or WebP image; convert it"),
        (encoded(pictures()[0], "TIFF"), r"no JPEG, PNG or WebP image; convert it"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", r"no JPEG, PNG or WebP image; convert it"),
        (JPEG[: len(JPEG) // 2], r"the image is damaged \(.+\); save it again"),
        (encoded(pictures()[0], "PNG")[:300], r"the image is damaged \(.+\); save it again"),
        (b"\0" * 200_001, r"200001 bytes of image; at most 200000 are taken, shrink it"),
        (_png_that_says(500, 401), r"the image has 500 x 401 pixels; at most 200000 are taken, shrink it"),
        (_png_that_says(30_000, 30_000), r"the image has more than 200000 pixels; shrink it"),
        (_png_that_says(300, 300), r"the image is damaged \(.+\); save it again"),
    ],
    ids=["none", "magic", "gif", "tiff", "svg", "half a jpeg", "half a png", "bytes", "pixels", "bomb", "too little data"],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        picture(data, LIMITS)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(range(9)), st.integers(0, 1000), st.binary(min_size=1, max_size=40))
def test_whatever_is_wrong_inside_a_file_is_its_own_error(number: int, place: int, noise: bytes) -> None:
    data = bytearray(FILES[number])
    place %= len(data)
    data[place : place + len(noise)] = noise
    with contextlib.suppress(ValueError):  # no other error
        assert picture(bytes(data), LIMITS).mode == "RGB"
