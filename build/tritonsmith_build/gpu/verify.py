"""A plan against PyTorch FP32 on real input in every shape, and how fast it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.errors import SmithError
from tritonsmith_build.outputs import counted

Run = Callable[[Arrays], NDArray[np.float32]]
Figures = Callable[[NDArray[np.float32], NDArray[np.float32]], dict[str, float]]
Shaped = dict[tuple[int, str], Arrays]
"""By rows and the name of a shape: a batch."""
_RUNS = 100


class Timed(Protocol):
    """What can say how long one batch takes."""

    def seconds(self, batch: Arrays, runs: int) -> NDArray[np.float64]:
        """The times of ``runs`` executions."""


def compare(run: Run, reference: Run, shaped: Shaped, figures: Figures) -> list[dict[str, Any]]:
    """A row of figures a shape. Raises SmithError where an answer is no number."""
    rows = []
    for (count, shape), batch in shaped.items():
        expected, actual = reference(batch), run(batch)
        if not np.isfinite(actual).all():
            what = f"the engine answers NaN or infinity at {count} x {shape}"
            raise SmithError(what, where="verify on the GPU", fix="nothing was replaced. Try --precision bf16 or fp32")
        difference = float(np.abs(actual - expected).max())
        answers = (counted(output, batch) for output in (expected, actual))
        rows.append({"rows": count, "shape": shape, **figures(*answers), "max_abs_difference": difference})
    return rows


def measure(timed: Timed, shaped: Shaped) -> list[dict[str, Any]]:
    """Median and 99th percentile of the GPU's time a batch in milliseconds, and items a second, a row a shape."""
    rows = []
    for (count, shape), batch in shaped.items():
        taken = timed.seconds(batch, _RUNS)
        median, p99 = np.percentile(taken, [50, 99])
        figures = {"median_ms": median * 1e3, "p99_ms": p99 * 1e3, "items_per_s": count / median}
        rows.append({"rows": count, "shape": shape, **{name: round(float(value), 4) for name, value in figures.items()}})
    return rows
