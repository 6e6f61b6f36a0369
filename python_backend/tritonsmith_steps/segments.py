"""The classes of an image's parts to a map of the image itself, pixel by pixel."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.pixels import SIZE
from tritonsmith_steps.settings import settings_from

Floats = NDArray[np.float32]
_VALUES = 2**22
"""Of the logits that are held at once in the image's own size."""


@dataclass(frozen=True)
class SegmentSettings:
    """The classes in the order of the logits."""

    labels: Sequence[str]


class Segments:
    """``pixel_logits`` FP32 ``[rows, classes, height, width]`` and ``SIZE`` ``[rows, 2]`` to ``MAP`` and ``SEGMENTS``.

    ``MAP`` is a PNG a row, of the image's own size: the value of a pixel is the number of its likeliest class. ``SEGMENTS`` is
    a JSON list a row of the classes that occur: ``value`` in the map, and ``label``.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        self._labels = list(settings.labels)

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Segments:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, SegmentSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Result:
        maps = [likeliest(logits, *size) for logits, size in zip(request["pixel_logits"], request[SIZE].tolist(), strict=True)]
        found = [[{"value": value, "label": self._labels[value]} for value in np.unique(one).tolist()] for one in maps]
        return {
            "MAP": np.array([[_png(one)] for one in maps], dtype=np.object_),
            "SEGMENTS": np.array([[json.dumps(row, ensure_ascii=False).encode()] for row in found], dtype=np.object_),
        }


def _png(values: NDArray[np.intp]) -> bytes:
    """8 bits a pixel, or 16 where there are more classes."""
    file = io.BytesIO()
    kind = np.uint8 if values.max(initial=0) < 256 else np.uint16
    Image.fromarray(values.astype(kind)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def likeliest(logits: Floats, height: int, width: int) -> NDArray[np.intp]:
    """The class of each pixel ``[height, width]``: ``[classes, …]`` resized bilinearly, then its maximum.

    As ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` resizes. Some rows at a time, because all
    classes in an image's own size may be gigabytes.
    """
    left, right, across = _between(logits.shape[2], width)
    wide = logits[:, :, left] * (1 - across) + logits[:, :, right] * across
    above, below, down = _between(logits.shape[1], height)
    made = np.empty((height, width), np.intp)
    step = max(1, _VALUES // (len(logits) * width))
    for start in range(0, height, step):
        rows = slice(start, start + step)
        weight = down[rows, None]
        made[rows] = (wide[:, above[rows]] * (1 - weight) + wide[:, below[rows]] * weight).argmax(axis=0)
    return made


def _between(had: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """For each new place the old ones on both sides of it, and the weight of the second."""
    places = np.maximum((np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * np.float32(had / wanted) - np.float32(0.5), 0)
    first = places.astype(np.intp)
    return first, np.minimum(first + 1, had - 1), (places - first).astype(np.float32)


STEP = Segments
