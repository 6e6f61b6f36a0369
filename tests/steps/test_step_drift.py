"""How far a window is from a reference: the measures against scipy, the window against all that it saw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import kl_div
from tritonsmith_steps.drift import (
    ELSE,
    FILE,
    LIMITS,
    Reference,
    Window,
    compared,
    jensen_shannon,
    population_stability,
    reference_in,
    rows_in,
    shares,
    shift,
)
from tritonsmith_steps.meters import METRICS, Sums


def distribution(weights: list[float]) -> np.ndarray:
    return np.array(weights) / sum(weights)


@given(st.data())
def test_measures_are_scipys(data: st.DataObject) -> None:
    """The population stability index is the divergence of Kullback and Leibler both ways."""
    size = data.draw(st.integers(2, 12))
    weights = st.lists(st.floats(0.001, 1), min_size=size, max_size=size)
    expected, actual = distribution(data.draw(weights)), distribution(data.draw(weights))
    both_ways = kl_div(expected, actual).sum() + kl_div(actual, expected).sum()
    assert population_stability(expected, actual) == pytest.approx(both_ways, abs=1e-12)
    assert jensen_shannon(expected, actual) == pytest.approx(jensenshannon(expected, actual, base=2), abs=1e-7)
    assert population_stability(expected, expected) == jensen_shannon(expected, expected) == 0


def test_both_measures_limits_speak_of_the_same_difference() -> None:
    """Of two parts, one of which grows until the population stability index is at its limit."""
    expected = np.array([0.5, 0.5])
    grown = next(
        share for share in np.arange(0.5, 1, 0.001) if population_stability(expected, np.array([share, 1 - share])) > 0.25
    )
    assert jensen_shannon(expected, np.array([grown, 1 - grown])) == pytest.approx(LIMITS["js"], abs=0.02)


@given(st.lists(st.floats(0, 600), min_size=1, max_size=50))
def test_a_distributions_parts_are_numpys_histogram(values: list[float]) -> None:
    sums = Sums()
    sums.values("length", np.array(values))
    counted = sums.handed_over()
    ends = [-np.inf, *np.nextafter(METRICS["length"].bounds, np.inf), np.inf]
    assert list(shares(counted, "length", len(values)).values()) == pytest.approx(np.histogram(values, ends)[0])
    assert rows_in(counted) == len(values)


def test_what_the_reference_has_not_is_one_part_more() -> None:
    expected, actual = compared({"latin": 30, ELSE: 10}, {"latin": 10, "cjk": 5, "thai": 5})
    assert expected.tolist() == pytest.approx([30.5 / 41, 10.5 / 41])
    assert actual.tolist() == pytest.approx([10.5 / 21, 10.5 / 21])


def reference(**changed: Any) -> Reference:
    made = {
        "window": 10,
        "rows": 40,
        "counts": {"label": {"a": 30.0, "b": 10.0}},
        "limits": {"label": {"psi": 0.25, "js": 0.2}},
    }
    return Reference(**{**made, **changed})


def labels(**counts: int) -> dict[tuple[str, str], int]:
    return {("label", label): count for label, count in counts.items()}


def test_nothing_is_said_before_the_window_is_full() -> None:
    window = Window(reference())
    window.seen(labels(a=9))
    assert not list(window.drifts())
    window.seen(labels(b=1))
    assert [(feature, measure) for feature, measure, _, _ in window.drifts()] == [("label", "psi"), ("label", "js")]


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window, fresh = Window(reference()), Window(reference())
    for _ in range(50):
        window.seen(labels(b=3))
    drifted = {measure: value for _, measure, value, _ in window.drifts()}
    for _ in range(4):
        window.seen(labels(a=2, b=1))
        fresh.seen(labels(a=2, b=1))
    assert list(window.drifts()) == list(fresh.drifts())
    assert all(drifted[measure] > limit > value for _, measure, value, limit in window.drifts())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40))
def test_the_window_is_the_last_rows_and_what_came_with_them(batches: list[tuple[int, int]]) -> None:
    window = Window(reference())
    for a, b in batches:
        window.seen(labels(a=a, b=b))
    kept, rows = Counter[str](), 0
    for a, b in reversed(batches):
        if rows >= 10:
            break
        kept.update(a=a, b=b)
        rows += a + b
    expected = None if rows < 10 else population_stability(*compared({"a": 30, "b": 10}, kept))
    found = {measure: value for _, measure, value, _ in window.drifts()}
    assert found.get("psi") == (expected if expected is None else pytest.approx(float(expected)))


def test_a_mean_is_off_by_so_many_spreads() -> None:
    known = reference(counts={}, limits={"embedding": {"centroid": 0.2}}, centroid=[1.0, 0.0], spread=2.0)
    window = Window(known)
    counted = {("norm", "+Inf"): 5}
    window.seen(counted, np.array([5.0, 0.0]))
    window.seen(counted, np.array([5.0, 20.0]))
    assert list(window.drifts()) == [("embedding", "centroid", 1.0, 0.2)]
    assert shift(np.array([1.0, 0.0]), known) == 0


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert reference_in(tmp_path) is None
    made = reference(centroid=[0.5], spread=0.1)
    (tmp_path / FILE).write_text(made.text())
    assert reference_in(tmp_path) == made
