"""An engine's graph against the FP32 graph in every shape that the server gives it: one length alone may fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.tokenize import TokenizeSettings

from tritonsmith_build.batches import shaped_batches

Outputs = NDArray[np.float32]
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
    tokenizer: Path,
    settings: TokenizeSettings,
    texts: Sequence[str],
    *,
    max_batch_size: int,
) -> list[dict[str, Any]]:
    """One row of figures a shape: every bucket with one row and with ``max_batch_size`` rows, the last of them padding alone.

    ``not_finite`` counts the candidate's rows that hold NaN or infinity. The other figures leave those out, and the row of
    padding, whose answer nobody reads: it must only be a number. ``relative_difference`` is the root mean square of the
    differences over that of FP32's answers in all shapes: one text's logits alone may be next to nothing.
    """
    compared = [
        _compared(reference(batch), candidate(batch), batch)
        for batch in padded_batches(tokenizer, settings, texts, max_batch_size)
    ]
    size = _root_mean_square(np.concatenate([one.expected for one in compared]))
    return [
        {
            "rows": one.rows,
            "length": one.length,
            "not_finite": one.not_finite,
            "max_abs_difference": float(np.abs(one.difference).max(initial=0.0)) if len(one.difference) else math.inf,
            "relative_difference": _root_mean_square(one.difference) / max(size, 1e-12) if len(one.difference) else math.inf,
        }
        for one in compared
    ]


def padded_batches(tokenizer: Path, settings: TokenizeSettings, texts: Sequence[str], max_batch_size: int) -> Iterator[Arrays]:
    """The batches: a full row alone; full rows, short ones and one of padding alone together."""
    for (rows, _), batch in shaped_batches(tokenizer, settings, texts, sorted({1, max_batch_size})).items():
        if rows > 1:
            for name, array in batch.items():
                array[-1] = settings.pad.get(name, 0)
        yield batch


@dataclass(frozen=True)
class _Compared:
    rows: int
    length: int
    not_finite: int
    expected: NDArray[np.float64]
    """FP32's answers, without the row of padding."""
    difference: NDArray[np.float64]
    """Of the candidate's answers that are numbers."""


def _compared(expected: Outputs, actual: Outputs, batch: Arrays) -> _Compared:
    rows, length = batch["input_ids"].shape
    real = batch["attention_mask"].any(axis=1)
    if actual.ndim == 3:
        expected, actual = (output.reshape(rows * length, -1) for output in (expected, actual))
        real = batch["attention_mask"].astype(bool).ravel()
    finite = np.isfinite(actual).all(axis=1)
    difference = actual[real & finite].astype(np.float64) - expected[real & finite]
    return _Compared(rows, length, int((~finite).sum()), expected[real].astype(np.float64), difference)


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
