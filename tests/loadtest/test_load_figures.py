"""What is made of Locust's and Triton's counts: windows, levels, the knee, the steps' times, the gates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load.counters import counters_from, step_times
from load.gates import Totals, checked
from load.recording import Sample, Window, between, knee, levels, percentile, windows
from load.scenario import Gates

PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{{model="moods_engine",version="1"}} {requests}
nv_inference_request_success{{model="other",version="1"}} 5
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{{model="moods_engine",reason="OTHER",version="1"}} {failures}
nv_inference_request_failure{{model="moods_engine",reason="REJECTED",version="1"}} 0
# TYPE nv_inference_count counter
nv_inference_count{{model="moods_engine",version="1"}} {rows}
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{{model="moods_engine",version="1"}} {executions}
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{{model="moods_engine",version="1"}} {queue}
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{{model="moods_engine",version="1"}} {infer}
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.5
"""


@given(st.lists(st.integers(0, 5000), max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentiles_are_those_of_the_single_times(times: list[int], share: float) -> None:
    expected = np.percentile(times, 100 * share, method="inverted_cdf") if times else 0
    assert percentile(Counter(times), share) == expected


def test_a_window_has_what_was_answered_in_it() -> None:
    before = Sample(10, 4, 100, 2, {5: 60, 900: 40})
    after = Sample(12, 4, 130, 12, {5: 85, 900: 40, 70: 5})
    assert between(before, after) == Window(12, 4, 10, 5, 5, 70)


def samples(*users_and_rates: tuple[int, int]) -> list[Sample]:
    """A second each, ``rate`` requests in it."""
    made, requests = [Sample(0, users_and_rates[0][0], 0, 0, {})], 0
    for second, (users, rate) in enumerate(users_and_rates, 1):
        requests += rate
        made.append(Sample(second, users, requests, 0, {10: requests}))
    return made


def test_levels_are_the_times_of_equal_users_without_their_beginnings() -> None:
    course = samples(*[(1, 10)] * 8, *[(2, 3)] * 2, *[(2, 20)] * 6, *[(4, 21)] * 8)
    assert [(level.users, level.requests_per_second) for level in levels(course)] == [(1, 10), (2, 20), (4, 21)]
    assert len(windows(course)) == len(course) - 1
    found = knee(levels(course))
    assert found is not None
    assert found.users == 2
    assert knee([]) is None
    assert knee(levels(samples(*[(1, 0)] * 8))) is None


def test_a_steps_times_are_of_what_came_between_two_readings() -> None:
    first = counters_from(PAGE.format(requests=10, failures=1, rows=10, executions=10, queue=1000, infer=50_000))
    second = counters_from(PAGE.format(requests=30, failures=4, rows=50, executions=20, queue=41_000, infer=90_000))
    (step,) = step_times(first, second)  # the other model was asked nothing
    assert (step.model, step.requests, step.failures, step.rows_a_batch) == ("moods_engine", 20, 3, 4)
    assert (step.queue, step.input, step.infer, step.output, step.total) == pytest.approx((2, 0, 2, 0, 4))
    assert [row.model for row in step_times({}, second)] == ["moods_engine", "other"]


@pytest.mark.parametrize(
    ("gates", "broken"),
    [
        ({"p50_ms": 10, "p95_ms": 20, "p99_ms": 30, "error_share": 0.1, "requests_per_second": 9}, []),
        ({"p99_ms": 29.9}, ["p99_ms"]),
        ({"p95_ms": 19}, ["p95_ms"]),
        ({"error_share": 0.09}, ["error_share"]),
        ({"requests_per_second": 9.1}, ["requests_per_second"]),
        ({"p50_ms": 9, "requests_per_second": 10, "error_share": 0.5}, ["p50_ms", "requests_per_second"]),
    ],
)
def test_a_limit_that_is_passed_is_broken(gates: dict[str, float], broken: list[str]) -> None:
    totals = Totals(requests=100, errors=10, seconds=10, p50_ms=10, p95_ms=20, p99_ms=30)
    found = checked(Gates(**{"error_share": None, **gates}), totals)
    assert [gate.name for gate in found if not gate.holds] == broken
    assert {gate.name for gate in found} == gates.keys()


def test_where_nothing_was_answered_no_limit_holds() -> None:
    for totals in (Totals(0, 0, 10, 0, 0, 0), Totals(5, 5, 10, 1, 1, 1)):
        assert not any(gate.holds for gate in checked(Gates(p99_ms=100, error_share=1.0), totals))
