"""The reference of a build: counted as the server counts, with limits that chance does not pass."""

from __future__ import annotations

import numpy as np
import pytest
from tritonsmith_build.stages.reference import limit_of_means, limits_of, reference
from tritonsmith_steps.drift import MEASURES, Reference, Window, compared, shift
from tritonsmith_steps.meters import Sums

LENGTHS = (8, 16, 32, 64)


def counted(numbers: np.random.Generator, rows: int, weights: tuple[float, ...] = (0.2, 0.5, 0.25, 0.05)) -> Sums:
    sums = Sums()
    sums.values("length", numbers.choice(LENGTHS, size=rows, p=weights))
    return sums


def test_windows_of_the_same_population_stay_under_the_limits_and_others_do_not() -> None:
    numbers = np.random.default_rng(1)
    window = Window(reference(counted(numbers, 200).handed_over(), window=100))
    for _ in range(200):
        window.seen(counted(numbers, 10).handed_over())
        assert all(value <= limit for _, _, value, limit in window.drifts())
    for _ in range(10):
        window.seen(counted(numbers, 10, (0.0, 0.1, 0.2, 0.7)).handed_over())
    found = list(window.drifts())
    assert {measure for _, measure, _, _ in found} == MEASURES.keys()
    assert all(value > limit for _, _, value, limit in found)


@pytest.mark.parametrize(("rows", "window"), [(20, 20), (200, 20), (20, 200)])
def test_few_rows_have_wider_limits(rows: int, window: int) -> None:
    counts = {"a": 0.5 * rows, "b": 0.3 * rows, "c": 0.2 * rows}
    few, many = limits_of(counts, window), limits_of({part: 100 * count for part, count in counts.items()}, 100 * window)
    assert many == {"psi": 0.25, "js": 0.2}  # where chance does less, a difference must still be one that matters
    assert few["js"] > many["js"]
    # What is drawn anew from a population that is like the reference passes the limit hardly ever.
    numbers = np.random.default_rng(2)
    drawn = [numbers.multinomial(window, [0.5, 0.3, 0.2]) for _ in range(2000)]
    for measure, of in MEASURES.items():
        beyond = sum(float(of(*compared(counts, dict(zip("abc", one.tolist(), strict=True))))) > few[measure] for one in drawn)
        assert beyond <= 4


def test_the_centroid_and_its_spread_are_the_vectors_own() -> None:
    numbers = np.random.default_rng(3)
    vectors = numbers.normal([2.0, -1.0, 0.0], 0.5, size=(300, 3)).astype(np.float32)
    sums = Sums()
    sums.values("norm", np.linalg.norm(vectors, axis=1))
    made = reference(sums.handed_over(), 100, vectors)
    assert made.rows == 300
    assert made.centroid == pytest.approx(vectors.mean(axis=0), abs=1e-5)
    assert made.spread == pytest.approx(np.sqrt(vectors.var(axis=0).sum()), rel=1e-4)
    limit = made.limits["embedding"]["centroid"]
    means = [numbers.normal([2.0, -1.0, 0.0], 0.5, size=(100, 3)).mean(axis=0) for _ in range(500)]
    assert max(shift(mean, made) for mean in means) < limit
    assert shift(np.array([2.0, -1.0, 0.5]), made) > limit


def test_the_bootstraps_limit_is_what_the_theory_of_means_says() -> None:
    """In one dimension a difference of two means is normal, with a variance of 1/n + 1/m of the rows' own."""
    vectors = np.random.default_rng(4).normal(size=(50, 1)).astype(np.float32)
    known = Reference(25, 50, {}, {}, [float(vectors.mean())], float(vectors.std()))
    assert limit_of_means(vectors, known) == pytest.approx(3.89 * np.sqrt(1 / 25 + 1 / 50), rel=0.15)
