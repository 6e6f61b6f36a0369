"""The vectors of an image's labels, a row each, put together as one row of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.items import items_in, stacked


class Stack:
    """``LABEL_VECTOR`` FP32 ``[images * labels, width]`` and ``ITEM`` to ``LABEL_VECTORS`` ``[images, labels, width]``."""

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Stack:
        """It has no settings."""
        return cls()

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        return [stacked([{"LABEL_VECTORS": rows["LABEL_VECTOR"]} for _, rows in items_in(request)]) for request in requests]


STEP = Stack
