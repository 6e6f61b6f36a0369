"""Which products INT8 harms most for how little work they are, so that as little as the gate allows is left out."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.runtimes import session_from_file

from tritonsmith_build.outputs import run_all
from tritonsmith_build.stages.dequantized import quantized_products, without
from tritonsmith_build.stages.product_groups import Group, groups_of

BATCHES = 32
"""Of the calibration data, how many are run for each group. With 16 the worst groups change places when others are drawn."""
_RUINED = 1e6
"""The harm of NaN or infinity, which JSON cannot say."""

Measured = tuple[tuple[Group, float], ...]


@dataclass(frozen=True)
class Candidate:
    """One choice of what to leave out."""

    left_out: tuple[str, ...]
    """Names of groups, the worst first."""
    products: frozenset[str]
    """The nodes of these groups, as ``without`` takes them."""
    share: float
    """Of all multiplications by a weight, what stays INT8."""
    harm: float
    """What the harms of the groups that stay INT8 add up to: about how far its answers will be."""


@dataclass(frozen=True)
class Search:
    """What was measured: each group, and its harm where it alone is quantized."""

    measured: Measured

    @property
    def ranked(self) -> Measured:
        """In the order to leave out: by harm squared for each share of the work.

        Squares, because rounding errors of different products are independent: it is their squares that add up. Equals
        stay in the graph's order.
        """
        return tuple(sorted(self.measured, key=lambda row: -(row[1] ** 2) / row[0].share))

    @property
    def table(self) -> list[dict[str, str | float]]:
        """For the manifest, in the order to leave out: each group, its share of the products, and its harm."""
        return [{"group": group.name, "products": round(group.share, 4), "harm": harm} for group, harm in self.ranked]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """From nothing left out to all but one group. Each leaves out what the one before did, so bisection is possible."""
        ranked = self.ranked
        return tuple(_candidate(ranked[:count], ranked[count:]) for count in range(len(ranked)))


def _candidate(left_out: Measured, others: Measured) -> Candidate:
    return Candidate(
        left_out=tuple(group.name for group, _ in left_out),
        products=frozenset(name for group, _ in left_out for name in group.products),
        share=round(sum(group.share for group, _ in others), 4),
        harm=round(math.hypot(*(harm for _, harm in others)), 4),
    )


def search(source: Path, quantized: Path, calibration: Sequence[Arrays], *, batches: int = BATCHES) -> Search:
    """Measure each group of the quantized products of ``quantized``, which is ``source`` with all that can be in Q/DQ.

    Harm is how far the answers are from those of ``source``, relative to their size, where this group alone is
    quantized. It is measured on some of the calibration data, never on the gate's: a choice made by the gate's own texts
    would fit them. Measured so, harms add up to what all groups do together; what leaving out one group alone gains
    is drowned by the harm of the others.
    """
    data = calibration[:: max(1, len(calibration) // batches)][:batches]
    model = onnx.load(quantized)
    names = frozenset(quantized_products(model))
    expected = _answers(source, data)
    measured = []
    with tempfile.TemporaryDirectory() as scratch:
        for group in groups_of(model, names):
            alone = Path(scratch) / "alone.onnx"
            without(quantized, alone, names.difference(group.products))
            measured.append((group, _distance(_answers(alone, data), expected)))
    return Search(tuple(measured))


def _answers(file: Path, data: Sequence[Arrays]) -> NDArray[np.float64]:
    return run_all(session_from_file(file, as_written=True), iter(data)).astype(np.float64)


def _distance(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Relative to ``expected``, in three digits: what a thread changes in the last ones must not change an order."""
    distance = float(np.linalg.norm(actual - expected) / max(float(np.linalg.norm(expected)), 1e-12))
    return float(f"{distance:.3g}") if np.isfinite(distance) else _RUINED
