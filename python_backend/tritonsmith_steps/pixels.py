"""Images to an engine's input: decoded, resized, cropped and normalized as the model's own processor does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.files import FileReader
from tritonsmith_steps.pictures import PictureLimits, picture
from tritonsmith_steps.settings import settings_from

SIZE = "SIZE"
"""INT32 ``[rows, 2]``: height and width of each image as it came."""
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class PixelSettings:
    """What a model's processor does, and what may be sent."""

    max_bytes: int
    max_pixels: int
    """Of an image as it comes, and of what resizing makes of it."""
    resample: int = Image.Resampling.BILINEAR
    size: Sequence[int] | None = None
    """Height and width that every image is resized to."""
    shortest: int | None = None
    """Where there is no such size: what the shorter side is resized to, the other one in proportion."""
    longest: int | None = None
    """What neither side may exceed then."""
    multiple: int = 1
    """Of what both sides are cut to a multiple then."""
    crop: Sequence[int] | None = None
    """Height and width that are cut out of the middle, filled up with black where the image is smaller."""
    scale: float = 1.0
    """What each value from 0 to 255 is multiplied by."""
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    least: int = 1
    """What no side may be shorter than in the end."""
    beside: Sequence[str] = ()
    """``SIZE``, where a later step needs it."""

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The height and width that an image of this size is resized to."""
        if self.size is not None:
            return self.size[0], self.size[1]
        if self.shortest is None:
            return height, width
        short, long = sorted((height, width))
        wanted, exact = self.shortest, float(self.shortest)
        if self.longest is not None and long / short * wanted > self.longest:
            exact = self.longest * short / long
            wanted = round(exact)
        made = (short, long) if short == wanted else (wanted, int(exact * long / short))
        made = made[0] - made[0] % self.multiple, made[1] - made[1] % self.multiple
        return made if height <= width else (made[1], made[0])


class PixelMaker:
    """One image's pixels; the same for every image of a model."""

    def __init__(self, settings: PixelSettings) -> None:
        self._settings = settings
        values = (np.arange(256, dtype=np.float64) * settings.scale).astype(np.float32)
        mean, std = (np.array(row, np.float32)[:, None] for row in (settings.mean, settings.std))
        self._table: Pixels = (values - mean) / std
        """By channel, what each of the 256 values becomes."""

    def __call__(self, image: Image.Image) -> Pixels:
        """FP32 ``[3, height, width]`` of an RGB image. Raises ValueError where it is too narrow."""
        settings = self._settings
        height, width = settings.resized(image.height, image.width)
        if height * width > settings.max_pixels or min(height, width) < 1:
            raise ValueError(f"an image of {image.width} x {image.height} pixels is too narrow; cut it")
        if (width, height) != image.size:
            image = image.resize((width, height), resample=settings.resample)
        if settings.crop is not None:
            image = _cropped(image, *settings.crop)
        if min(image.size) < settings.least:
            raise ValueError(f"only {image.width} x {image.height} pixels remain of the image; send one that is less narrow")
        array = np.asarray(image)
        out = np.empty((3, *array.shape[:2]), np.float32)
        for channel in range(3):
            np.take(self._table[channel], array[..., channel], out=out[channel], mode="clip")
        return out


def _cropped(image: Image.Image, height: int, width: int) -> Image.Image:
    """The middle; where an odd number of columns or rows is filled up, one more stands before the image than after it."""
    left, top = ((had - wanted) // 2 for had, wanted in zip(image.size, (width, height), strict=True))
    return image.crop((left, top, left + width, top + height))


class PixelStep:
    """``IMAGE`` (a JPEG, PNG or WebP file ``[rows, 1]``) to ``pixel_values`` FP32 ``[rows, 3, height, width]``."""

    ROOM = "sends"

    def __init__(self, settings: PixelSettings, count: Count) -> None:
        self._settings, self._count, self._make = settings, count, PixelMaker(settings)
        self._limits = PictureLimits(settings.max_bytes, settings.max_pixels)
        self._read = FileReader("IMAGE", "image", self._image, self._together)

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> PixelStep:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, PixelSettings), count)

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a bad image is its own request's error."""
        return self._read(requests)

    def _image(self, file: bytes) -> tuple[Pixels, tuple[int, int]]:
        image = picture(file, self._limits)
        return self._make(image), (image.height, image.width)

    def _together(self, made: Sequence[tuple[Pixels, tuple[int, int]]]) -> Result:
        if len({pixels.shape for pixels, _ in made}) > 1:
            return ValueError("the images of a request come out in different sizes; send them apart")
        sizes = np.array([size for _, size in made], np.int32)
        self._count("pixels", int(sizes.prod(axis=1).sum()))
        beside = {SIZE: sizes} if SIZE in self._settings.beside else {}
        return {"pixel_values": np.stack([pixels for pixels, _ in made]), **beside}


STEP = PixelStep
