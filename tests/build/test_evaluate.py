"""Accuracy of labelled texts, against scikit-learn and scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics
from tritonsmith_build.evaluate import evaluated, wilson

LABELS = st.sampled_from(["good", "bad", "neither"])


@given(st.integers(1, 5000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_is_scipys(found: tuple[int, int]) -> None:
    right, count = found
    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((interval.low, interval.high), abs=1e-4)


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60))
def test_figures_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    expected, found = ([pair[side] for pair in pairs] for side in (0, 1))
    made = evaluated("mood", expected, found, built=None)
    assert made.items == len(pairs)
    assert made.accuracy == pytest.approx(metrics.accuracy_score(expected, found))
    for label, recall in made.recall.items():
        assert recall == pytest.approx(metrics.recall_score(expected, found, labels=[label], average=None)[0])
    for label, precision in made.precision.items():
        assert precision == pytest.approx(
            metrics.precision_score(expected, found, labels=[label], average=None, zero_division=0)[0]
        )
    assert made.recall.keys() == set(expected)
    assert made.precision.keys() == set(found)


@pytest.mark.parametrize(
    ("right", "built", "worse"), [(60, 0.78, True), (75, 0.78, False), (90, 0.78, False), (10, None, False)]
)
def test_it_is_worse_where_chance_does_not_explain_it(right: int, built: float | None, worse: bool) -> None:
    made = evaluated("mood", ["good"] * 100, ["good"] * right + ["bad"] * (100 - right), built)
    assert made.worse is worse
    assert made.as_dict()["worse"] is worse
