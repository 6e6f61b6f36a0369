"""A plan against PyTorch FP32 on real text in every bucket, and how fast it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.errors import SmithError

Run = Callable[[Arrays], NDArray[np.float32]]
Figures = Callable[[NDArray[np.float32], NDArray[np.float32]], dict[str, float]]
_RUNS = 100


class Timed(Protocol):
    """What can say how long one batch takes."""

    def seconds(self, batch: Arrays, runs: int) -> NDArray[np.float64]:
        """The times of ``runs`` executions."""


def compare(run: Run, reference: Run, shaped: dict[tuple[int, int], Arrays], figures: Figures) -> list[dict[str, Any]]:
    """A row of figures a shape. Raises SmithError where an answer is no number."""
    rows = []
    for (count, length), batch in shaped.items():
        expected, actual = reference(batch), run(batch)
        if not np.isfinite(actual).all():
            what = f"the engine answers NaN or infinity at {count} x {length} tokens"
            raise SmithError(what, where="verify on the GPU", fix="nothing was replaced. Try --precision bf16 or fp32")
        difference = float(np.abs(actual - expected).max())
        rows.append({"rows": count, "length": length, **figures(expected, actual), "max_abs_difference": difference})
    return rows


def measure(timed: Timed, shaped: dict[tuple[int, int], Arrays]) -> list[dict[str, Any]]:
    """Median and 99th percentile of the GPU's time a batch in milliseconds, and texts a second, a row a shape."""
    rows = []
    for (count, length), batch in shaped.items():
        taken = timed.seconds(batch, _RUNS)
        median, p99 = np.percentile(taken, [50, 99])
        figures = {"median_ms": median * 1e3, "p99_ms": p99 * 1e3, "texts_per_s": count / median}
        rows.append({"rows": count, "length": length, **{name: round(float(value), 4) for name, value in figures.items()}})
    return rows
