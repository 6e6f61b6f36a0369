"""The engine's graph against the model that it is made of, on real input, from the smallest shape to the largest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.runtimes import session_from_file

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modality import Samples, Shape

TOLERANCE = 1e-4


class Original(Protocol):
    """The model that a graph is made of, itself."""

    @property
    def called(self) -> str:
        """As ``PyTorch``."""

    def answer(self, batch: Arrays) -> NDArray[np.float32]:
        """What an engine must give for its input."""


def shapes_to_verify(shapes: Sequence[Shape], max_batch_size: int) -> list[tuple[int, Shape]]:
    """Rows and shape: one row of the smallest, half a batch of the middle one, a full batch of the largest."""
    middle = shapes[len(shapes) // 2]
    wanted = [(1, shapes[0]), (max(2, max_batch_size // 2), middle), (max_batch_size, shapes[-1])]
    return [pair for at, pair in enumerate(wanted) if pair not in wanted[:at]]


def verify(
    original: Original, file: Path, samples: Samples, shapes: Sequence[Shape], *, max_batch_size: int
) -> list[dict[str, Any]]:
    """Compare every shape's output; one row of figures a shape.

    Raises SmithError where the largest absolute difference exceeds ``TOLERANCE`` or a value is not finite.
    """
    session = session_from_file(file)
    figures = []
    for rows, shape in shapes_to_verify(shapes, max_batch_size):
        batch = samples.at(rows, shape)
        expected = original.answer(batch)
        if not np.isfinite(expected).all():
            fix = "its weights or its precision are broken: train or download it again"
            raise SmithError("the model itself answers NaN or infinity", where="verify", fix=fix)
        actual = session.run(None, batch)[0]
        difference = float(np.abs(actual - expected).max())
        if not (np.isfinite(actual).all() and difference <= TOLERANCE):
            raise SmithError(
                f"ONNX differs from {original.called} by {difference:.2g} at {rows} x {shape.name}, more than {TOLERANCE:g}",
                where="verify",
                fix="the exported graph is not the model: report it with the versions in `tritonsmith doctor`",
            )
        figures.append({"rows": rows, "shape": shape.name, "max_abs_difference": difference})
    return figures
