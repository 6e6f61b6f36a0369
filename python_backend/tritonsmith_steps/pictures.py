"""Images as they come from strangers: checked before they cost anything, then decoded as ``transformers.pipeline`` does."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
"""What is decoded: each further one would be more code for strangers to attack."""


@dataclass(frozen=True)
class PictureLimits:
    """What may be sent."""

    max_bytes: int
    """Of one file."""
    max_pixels: int
    """Of one image, which a small file may make very many of."""


def picture(data: bytes, limits: PictureLimits) -> Image.Image:
    """A file's image in RGB, the right way up; of several frames the first.

    Raises ValueError with what to do about it.
    """
    if len(data) > limits.max_bytes:
        raise ValueError(f"{len(data)} bytes of image; at most {limits.max_bytes} are taken, shrink it")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except UnidentifiedImageError:
        raise ValueError("no JPEG, PNG or WebP image; convert it") from None
    except Image.DecompressionBombError:
        raise ValueError(f"the image has more than {limits.max_pixels} pixels; shrink it") from None
    except Exception as error:  # what a damaged header makes a decoder raise
        raise ValueError(f"the image is damaged ({_first_line(error)}); save it again") from None
    if width * height > limits.max_pixels:
        raise ValueError(f"the image has {width} x {height} pixels; at most {limits.max_pixels} are taken, shrink it")
    try:
        return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # truncated, or not what its header says
        raise ValueError(f"the image is damaged ({_first_line(error)}); save it again") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
