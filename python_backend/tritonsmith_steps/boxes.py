"""What a detector sees at each place it looks, to named boxes in the image's own pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import softmax
from tritonsmith_steps.pixels import SIZE
from tritonsmith_steps.settings import settings_from

THRESHOLD = 0.5
"""Of ``transformers.pipeline("object-detection")``."""
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class BoxSettings:
    """The classes in the order of the logits; the last logit, which has no name, is that of nothing."""

    labels: Sequence[str]


class Boxes:
    """``detections`` FP32 ``[rows, places, classes + 1 + 4]`` and ``SIZE`` ``[rows, 2]`` to ``BOXES``, a JSON list a row.

    The last four are a box's center, width and height, relative to the image. A box stands in the list where its likeliest
    class is likelier than ``THRESHOLD`` (FP32 ``[rows, 1]``), in the order of the places.
    """

    def __init__(self, settings: BoxSettings) -> None:
        self._labels = list(settings.labels)

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Boxes:
        """From a version folder with ``step.json``."""
        return cls(settings_from(folder, BoxSettings))

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Result:
        found = request["detections"]
        thresholds = request["THRESHOLD"].ravel() if "THRESHOLD" in request else np.full(len(found), THRESHOLD)
        for item, threshold in enumerate(thresholds.tolist()):
            if not 0 <= threshold <= 1:
                return ValueError(f"item {item}: threshold is {threshold:g}; give 0 to 1")
        scores = softmax(found[..., :-4])[..., :-1]
        corners = corners_of(found[..., -4:], request[SIZE])
        rows = [self._boxes(*row) for row in zip(scores, corners, thresholds, strict=True)]
        return {"BOXES": np.array([[json.dumps(row, ensure_ascii=False).encode()] for row in rows], dtype=np.object_)}

    def _boxes(self, scores: NDArray[np.float32], corners: NDArray[np.int64], threshold: float) -> list[dict[str, Any]]:
        best, classes = scores.max(axis=-1), scores.argmax(axis=-1)
        return [
            {
                "score": float(best[place]),
                "label": self._labels[classes[place]],
                "box": dict(zip(_CORNERS, corners[place].tolist(), strict=True)),
            }
            for place in np.flatnonzero(best > threshold)
        ]


def corners_of(boxes: NDArray[np.float32], sizes: NDArray[np.int32]) -> NDArray[np.int64]:
    """``[rows, places, 4]`` of center, width and height to the corners in pixels, cut to whole ones."""
    center, extent = boxes[..., :2], boxes[..., 2:]
    corners = np.concatenate([center - 0.5 * extent, center + 0.5 * extent], axis=-1)
    width_height = np.tile(sizes[:, ::-1], 2).astype(np.float32)
    pixels: NDArray[np.int64] = np.trunc(corners * width_height[:, None]).astype(np.int64)
    return pixels


STEP = Boxes
