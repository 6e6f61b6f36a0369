"""An engine's graph against the FP32 graph in every shape that the server gives it: one alone may fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.modality import Samples, Shape
from tritonsmith_build.outputs import Outputs, rows_of

Answer = Callable[[Arrays], Outputs]


def answer_of(session: ort.InferenceSession) -> Answer:
    """What gives a session's one output for a batch."""

    def answer(batch: Arrays) -> Outputs:
        output: Outputs = session.run(None, batch)[0]
        return output

    return answer


def compare_shapes(
    reference: Answer,
    candidate: Answer,
    samples: Samples,
    shapes: Sequence[Shape],
    *,
    max_batch_size: int,
) -> list[dict[str, Any]]:
    """One row of figures a shape, with one row and with ``max_batch_size`` rows, the last of them padding alone.

    ``not_finite`` counts the candidate's rows that hold NaN or infinity. The other figures leave those out, and the row of
    padding, whose answer nobody reads: it must only be a number. ``relative_difference`` is the root mean square of the
    differences over that of FP32's answers in all shapes: one text's logits alone may be next to nothing.
    """
    compared = [
        _compared(rows, shape, samples.at(rows, shape, blank=rows > 1), reference, candidate)
        for shape in shapes
        for rows in sorted({1, max_batch_size})
    ]
    size = _root_mean_square(np.concatenate([one.expected for one in compared]))
    return [
        {
            "rows": one.rows,
            "shape": one.shape,
            "not_finite": one.not_finite,
            "max_abs_difference": float(np.abs(one.difference).max(initial=0.0)) if len(one.difference) else math.inf,
            "relative_difference": _root_mean_square(one.difference) / max(size, 1e-12) if len(one.difference) else math.inf,
        }
        for one in compared
    ]


@dataclass(frozen=True)
class _Compared:
    rows: int
    shape: str
    not_finite: int
    expected: NDArray[np.float64]
    """FP32's answers, without the row of padding."""
    difference: NDArray[np.float64]
    """Of the candidate's answers that are numbers."""


def _compared(rows: int, shape: Shape, batch: Arrays, reference: Answer, candidate: Answer) -> _Compared:
    expected, real = rows_of(reference(batch), batch)
    actual, _ = rows_of(candidate(batch), batch)
    finite = np.isfinite(actual).all(axis=1)
    difference = actual[real & finite].astype(np.float64) - expected[real & finite]
    return _Compared(rows, shape.name, int((~finite).sum()), expected[real].astype(np.float64), difference)


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
