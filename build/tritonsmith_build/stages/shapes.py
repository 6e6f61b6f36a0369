"""An engine's graph against the FP32 graph in every shape that the server gives it: one length alone may fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.tokenize import TokenizeSettings

from tritonsmith_build.batches import batches, mixed_lengths

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

    ``not_finite`` counts the candidate's rows that hold NaN or infinity. ``max_abs_difference`` and ``relative_difference``,
    the distance of all rows over their size, leave those out, and the row of padding, whose answer nobody reads: it must
    only be a number.
    """
    figures = []
    for batch in shaped_batches(tokenizer, settings, texts, max_batch_size):
        rows, length = batch["input_ids"].shape
        compared = _compared(reference(batch), candidate(batch), batch["attention_mask"].any(axis=1))
        figures.append({"rows": rows, "length": length, **compared})
    return figures


def shaped_batches(tokenizer: Path, settings: TokenizeSettings, texts: Sequence[str], max_batch_size: int) -> Iterator[Arrays]:
    """The batches: a full row alone; full rows, short ones and one of padding alone together."""
    for length in settings.buckets:
        for rows in sorted({1, max_batch_size}):
            (batch,) = batches(tokenizer, settings, mixed_lengths(texts, rows), rows=rows, length=length)
            if rows > 1:
                for name, array in batch.items():
                    array[-1] = settings.pad.get(name, 0)
            yield batch


def _compared(expected: Outputs, actual: Outputs, real: NDArray[np.bool_]) -> dict[str, Any]:
    finite = np.isfinite(actual).all(axis=1)
    expected, actual = expected[real & finite].astype(np.float64), actual[real & finite].astype(np.float64)
    if not len(actual):
        return {"not_finite": int((~finite).sum()), "max_abs_difference": math.inf, "relative_difference": math.inf}
    distance = np.linalg.norm(actual - expected) / max(float(np.linalg.norm(expected)), 1e-12)
    return {
        "not_finite": int((~finite).sum()),
        "max_abs_difference": float(np.abs(actual - expected).max()),
        "relative_difference": float(distance),
    }
