"""Images that are drawn by chance, for builds whose spec names none: light, ground and things, no two alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_SIDES = (240, 320, 480, 640)


def drawn(seed: int) -> Image.Image:
    """An RGB image of one of a few sizes, the same for the same seed.

    Its background has the spectrum of photographs, whose power falls with the square of the frequency (Field 1987).
    """
    draw = np.random.default_rng(seed)
    width, height = draw.choice(_SIDES), draw.choice(_SIDES)
    image = Image.fromarray(_background(draw, int(height), int(width)))
    canvas = ImageDraw.Draw(image)
    for _ in range(draw.integers(2, 9)):
        left, top = draw.uniform(-0.1, 0.9, 2) * (width, height)
        right, bottom = (left, top) + draw.uniform(0.05, 0.5, 2) * (width, height)
        colour = tuple(draw.integers(0, 256, 3).tolist())
        shape = draw.choice(["ellipse", "rectangle", "polygon"])
        if shape == "polygon":
            corners = draw.uniform((left, top), (right, bottom), (int(draw.integers(3, 7)), 2))
            canvas.polygon([tuple(corner) for corner in corners.tolist()], fill=colour)
        else:
            getattr(canvas, shape)((left, top, right, bottom), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(float(draw.uniform(0, 2))))


def _background(draw: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    down, across = np.fft.fftfreq(height)[:, None, None], np.fft.rfftfreq(width)[None, :, None]
    amplitude = 1 / np.maximum(np.hypot(down, across), 1 / max(height, width))
    phases = np.exp(2j * np.pi * draw.random((height, width // 2 + 1, 3)))
    waves = np.fft.irfft2(amplitude * phases, s=(height, width), axes=(0, 1))
    waves = (waves - waves.mean()) / waves.std()
    levels = draw.uniform(60, 200, 3) + draw.uniform(20, 60) * waves
    made: NDArray[np.uint8] = np.clip(levels, 0, 255).astype(np.uint8)
    return made
