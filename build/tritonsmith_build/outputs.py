"""What an engine answers, as rows that somebody reads: one an item, or a token, pixel or moment of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.lengths import MASK

Outputs = NDArray[np.float32]


def rows_of(output: Outputs, batch: Arrays) -> tuple[Outputs, NDArray[np.bool_]]:
    """The output as rows ``[n, width]``, and which of them are no padding.

    ``[batch, width]`` is a row an item; ``[batch, places, width]`` a row a token, or where there is no mask a row a place;
    ``[batch, frames, width]`` a row a moment of a recording, zeros where it is padding; ``[batch, width, height, width]`` a row
    a pixel.
    """
    if output.ndim == 4:
        output = np.moveaxis(output, 1, -1)
    rows = output.reshape(-1, output.shape[-1])
    if MASK not in batch:
        return rows, np.ones(len(rows), bool)
    mask = batch[MASK].astype(bool)
    if output.ndim == 3 and output.shape[1] != mask.shape[1]:
        return rows, rows.any(axis=1)
    return rows, mask.ravel() if output.ndim == 3 else mask.any(axis=1)


def counted(output: Outputs, batch: Arrays) -> Outputs:
    """The rows that are no padding."""
    rows, real = rows_of(output, batch)
    return rows[real]


def run_all(session: object, data: Iterable[Arrays]) -> Outputs:
    """The rows of the engine's one output over all batches, without padding."""
    return np.concatenate([counted(session.run(None, batch)[0], batch) for batch in data])  # type: ignore[attr-defined]
