from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from tritonsmith_steps.meters import METRICS, Metric, Sums


def test_names_are_prometheus_own() -> None:
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)
    assert all(title.startswith("tritonsmith_") and title.endswith("_total") for title in titles)


def test_what_was_handed_over_is_not_handed_over_again() -> None:
    sums = Sums()
    sums("tokens", 3)
    sums("label", 1, "yes")
    sums("label", 2, "yes")
    assert sums.handed_over() == {("tokens", ""): 3, ("label", "yes"): 3}
    assert sums.handed_over() == {}


def test_nothing_is_lost_or_counted_twice_between_threads() -> None:
    sums, total = Sums(), 0
    with ThreadPoolExecutor(4) as pool:
        counting = [pool.submit(lambda: [sums("tokens", 1) for _ in range(5000)]) for _ in range(3)]
        while not all(one.done() for one in counting):
            total += sums.handed_over().get(("tokens", ""), 0)
    assert total + sums.handed_over().get(("tokens", ""), 0) == 15000


@pytest.mark.parametrize("values", [[0.1, 0.100001, 0.55, 1.0, 1.5, -1.0], [], [float("nan"), 0.3]])
def test_a_distribution_has_the_buckets_of_a_prometheus_histogram(values: list[float]) -> None:
    bounds = METRICS["confidence"].bounds
    registry = CollectorRegistry()
    oracle = Histogram("c", "c", buckets=bounds, registry=registry)
    for value in values:
        oracle.observe(value)
    sums = Sums()
    sums.values("confidence", np.array(values))
    found = sums.handed_over()
    wanted = {float(le): registry.get_sample_value("c_bucket", {"le": str(le)}) for le in (*bounds, float("inf"))}
    counted = {float(part): count for (_, part), count in found.items()}
    assert {le: counted[le] for le in wanted if le != float("inf")} == {le: n for le, n in wanted.items() if le != float("inf")}
    assert counted[float("inf")] == len(values)


def test_bounds_are_the_label_le() -> None:
    with pytest.raises(ValueError, match="le"):
        Metric("tritonsmith_things_total", "Things", "kind", bounds=(1,))
