"""The FP32 ONNX graph against PyTorch, on real text, from the smallest shape to the largest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tritonsmith_steps.runtimes import session_from_file
from tritonsmith_steps.tokenize import TokenizeSettings

from tritonsmith_build.batches import batches, mixed_lengths
from tritonsmith_build.errors import SmithError
from tritonsmith_build.stages.graphs import EngineGraph

TOLERANCE = 1e-4


def shapes_to_verify(buckets: Sequence[int], max_batch_size: int) -> list[tuple[int, int]]:
    """``(rows, length)``: one row at the smallest bucket, half a batch at the middle one, a full batch at the largest."""
    middle = buckets[len(buckets) // 2]
    shapes = [(1, buckets[0]), (max(2, max_batch_size // 2), middle), (max_batch_size, buckets[-1])]
    return list(dict.fromkeys(shapes))


def verify(
    graph: EngineGraph, file: Path, tokenizer: Path, settings: TokenizeSettings, texts: Sequence[str], *, max_batch_size: int
) -> list[dict[str, Any]]:
    """Compare every shape's output; one row of figures a shape.

    Raises SmithError where the largest absolute difference exceeds ``TOLERANCE`` or a value is not finite.
    """
    session = session_from_file(file)
    figures = []
    for rows, length in shapes_to_verify(settings.buckets, max_batch_size):
        (batch,) = batches(tokenizer, settings, mixed_lengths(texts, rows), rows=rows, length=length)
        with torch.inference_mode():
            expected = graph(**{name: torch.from_numpy(array) for name, array in batch.items()}).numpy()
        if not np.isfinite(expected).all():
            fix = "its weights or its precision are broken: train or download it again"
            raise SmithError("the model itself answers NaN or infinity", where="verify", fix=fix)
        actual = session.run(None, batch)[0]
        difference = float(np.abs(actual - expected).max())
        if not (np.isfinite(actual).all() and difference <= TOLERANCE):
            raise SmithError(
                f"ONNX differs from PyTorch by {difference:.2g} at {rows} x {length} tokens, more than {TOLERANCE:g}",
                where="verify",
                fix="the exported graph is not the model: report it with the versions in `tritonsmith doctor`",
            )
        figures.append({"rows": rows, "length": length, "max_abs_difference": difference})
    return figures
