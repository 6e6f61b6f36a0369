"""How far what callers ask now, and are answered, is from the data that a build was proved on."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.meters import METRICS, Part

FILE = "reference.json"
"""A step's reference, in its version folder; a step without one has no drift."""
FEATURES = ("length", "unknown", "script", "label", "confidence", "uncertainty")
"""Metrics whose parts are compared."""
CENTROID = "embedding"
"""The feature whose values are vectors, of which means are compared."""
ELSE = "anything else"
"""The part for whatever the reference has not."""
LIMITS: Mapping[str, float] = {"psi": 0.25, "js": 0.2, "centroid": 0.2}
"""From where on a measure speaks of another population, however sure it is. A population stability index of 0.25 is the
usual one (Siddiqi, Credit Risk Scorecards, 2006); two distributions that differ so much have a Jensen-Shannon distance of
about 0.2. A mean that is off by 0.2 standard deviations is Cohen's small effect."""
_HALF = 0.5
"""Added to every count: Jeffreys' prior, so that what was never seen is rare and not impossible."""

Counts = Mapping[tuple[str, Part], int]
"""As ``Sums`` hands them over."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """What a step's looks saw of the data that a build was proved on."""

    window: int
    """The rows that are compared with it at a time."""
    rows: int
    counts: Mapping[str, Mapping[Part, float]]
    """By feature: how many rows each part has."""
    limits: Mapping[str, Mapping[str, float]]
    """By feature and measure: what a window that has not drifted stays under."""
    centroid: Sequence[float] = field(default=())
    spread: float = 0.0
    """How far a row's vector is from the centroid: the root of the mean square."""

    def text(self) -> str:
        """As a file holds it."""
        return json.dumps(asdict(self)) + "\n"


def reference_in(folder: Path) -> Reference | None:
    """A version folder's, None where it has none."""
    try:
        return Reference(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def rows_in(counted: Counts) -> int:
    """How many rows were looked at: each adds one to the last part of every distribution, and to one label."""
    ends = [count for (metric, part), count in counted.items() if part == "+Inf" and METRICS[metric].bounds]
    return max([*ends, sum(count for (metric, _), count in counted.items() if metric == "label")])


def shares(counted: Counts, feature: str, rows: int) -> dict[Part, float]:
    """How many of ``rows`` each part of a feature has, in a distribution each for itself; empty where it was not seen.

    >>> shares({("length", "8"): 2, ("length", "16"): 5, ("length", "+Inf"): 5}, "length", 10)
    {'8': 4.0, '16': 6.0, '+Inf': 0.0}
    """
    found = {part: count for (metric, part), count in counted.items() if metric == feature}
    if METRICS[feature].bounds:
        parts = sorted(found, key=float)
        steps = np.diff([0, *(found[part] for part in parts)]).tolist()
        found = dict(zip(parts, steps, strict=True))
    total = sum(found.values())
    return {part: count * rows / total for part, count in found.items()} if total else {}


def population_stability(expected: Floats, actual: Floats) -> Floats:
    """The population stability index of distributions ``[..., parts]``: the sum of ``(a - e) ln(a / e)``, 0 for equal ones."""
    found: Floats = ((actual - expected) * np.log(actual / expected)).sum(axis=-1)
    return found


def jensen_shannon(expected: Floats, actual: Floats) -> Floats:
    """The Jensen-Shannon distance of distributions ``[..., parts]``, base 2: 0 for equal ones, 1 for those that share nothing
    (Endres and Schindelin, A new metric for probability distributions, 2003)."""
    middle = (expected + actual) / 2
    halves = [(one * np.log2(one / middle)).sum(axis=-1) for one in (expected, actual)]
    found: Floats = np.sqrt(np.maximum(0.0, (halves[0] + halves[1]) / 2))
    return found


MEASURES = {"psi": population_stability, "js": jensen_shannon}


def compared(reference: Mapping[Part, float], now: Mapping[Part, float]) -> tuple[Floats, Floats]:
    """Two features' parts as distributions over those of the reference and ``ELSE``."""
    parts = [part for part in reference if part != ELSE]
    both = []
    for counts in (reference, now):
        known = [counts.get(part, 0.0) for part in parts]
        both.append(smoothed(np.array([*known, max(0.0, sum(counts.values()) - sum(known))])))
    return both[0], both[1]


def smoothed(counts: Floats) -> Floats:
    """Counts ``[..., parts]`` as distributions in which nothing is impossible."""
    added = counts + _HALF
    made: Floats = added / added.sum(axis=-1, keepdims=True)
    return made


class Window:
    """The last rows that a step saw, at least as many as the reference says and those that came with them."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._last: deque[tuple[int, Counter[tuple[str, Part]], Any]] = deque()
        self._rows, self._counted, self._vectors = 0, Counter[tuple[str, Part]](), np.zeros(len(reference.centroid))

    def seen(self, counted: Counts, vectors: Any = 0.0) -> None:
        """Take in what was counted of some rows, and the sum of their vectors; forget those that it replaces."""
        rows = rows_in(counted)
        if not rows:
            return
        new = rows, Counter({key: count for key, count in counted.items() if key[0] in FEATURES}), vectors
        self._last.append(new)
        self._add(new, 1)
        while self._rows - self._last[0][0] >= self._reference.window:
            self._add(self._last.popleft(), -1)

    def _add(self, some: tuple[int, Counter[tuple[str, Part]], Any], sign: int) -> None:
        rows, counted, vectors = some
        self._rows += sign * rows
        for key, count in counted.items():
            self._counted[key] += sign * count
        if len(self._vectors):
            self._vectors = self._vectors + sign * vectors

    def drifts(self) -> Iterable[tuple[str, str, float, float]]:
        """Feature, measure, value and limit; nothing before the window is full."""
        reference = self._reference
        if self._rows < reference.window:
            return
        for feature, counts in reference.counts.items():
            expected, actual = compared(counts, shares(self._counted, feature, self._rows))
            for measure, limit in reference.limits[feature].items():
                yield feature, measure, float(MEASURES[measure](expected, actual)), limit
        if reference.centroid:
            value = shift(self._vectors / self._rows, reference)
            yield CENTROID, "centroid", value, reference.limits[CENTROID]["centroid"]


def shift(mean: Floats, reference: Reference) -> float:
    """How far a mean of vectors is from the reference's, in units of its spread."""
    return float(np.linalg.norm(mean - np.array(reference.centroid)) / (reference.spread or 1.0))
