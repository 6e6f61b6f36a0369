"""Two snapshots of Triton's counters make what happened in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonsmith_build.errors import SmithError
from tritonsmith_build.profiling.statistics import (
    LATEST,
    Counters,
    Step,
    counters_of,
    ensemble_steps,
    step_of,
    steps_ms,
    use_of,
)

MS = 1_000_000


def duration(count: int, milliseconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(milliseconds * MS)}


def row(version: int, requests: int, batches: dict[int, int], *, queue: float = 0, infer: float = 0) -> dict[str, Any]:
    """A version that ran so many batches by their size, ``infer`` ms each, every request being one row."""
    executions, rows = sum(batches.values()), sum(size * count for size, count in batches.items())
    assert rows == requests
    return {
        "name": "moods_engine",
        "version": str(version),
        "inference_count": rows,
        "execution_count": executions,
        "inference_stats": {
            "success": duration(requests, queue * requests + infer * requests),
            "queue": duration(requests, queue * requests),
            "compute_input": duration(requests, 1 * requests),
            "compute_infer": duration(requests, infer * requests),
            "compute_output": duration(requests, 2 * requests),
            "cache_hit": duration(5, 1),
        },
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": duration(count, 1 * count),
                "compute_infer": duration(count, infer * count),
                "compute_output": duration(count, 2 * count),
            }
            for size, count in batches.items()
        ],
    }


def as_grpc(value: Any) -> Any:
    """As protobuf's JSON writes it: numbers as text, and no zeros."""
    if isinstance(value, dict):
        return {key: as_grpc(inner) for key, inner in value.items() if inner != 0}
    if isinstance(value, list):
        return [as_grpc(inner) for inner in value]
    return str(value)


def test_a_batch_counts_once_for_the_step_and_for_each_of_its_requests() -> None:
    before = counters_of({"model_stats": [row(1, 10, {1: 10}, queue=4, infer=7)]})
    after = counters_of({"model_stats": [row(1, 110, {1: 10, 4: 25}, queue=4, infer=7)]})
    use = use_of(Step("moods_engine", 1, 1, 32), after.since(before, model="moods_engine"), 0.5)
    assert (use.requests, use.rows, use.executions) == (100, 100, 25)
    assert use.batch_rows == 4
    assert use.executions_per_second == 50
    # 25 batches of 1 + 7 + 2 ms in 500 ms; by requests it would have been busy twice over.
    assert use.busy_share == pytest.approx(0.5)
    assert (use.queue_ms, use.input_ms, use.infer_ms, use.output_ms) == pytest.approx((4, 1, 7, 2))
    assert use.request_ms == pytest.approx(14)


def test_several_instances_share_the_work() -> None:
    counted = counters_of({"model_stats": [row(1, 100, {4: 25}, infer=7)]})
    assert use_of(Step("moods_engine", 1, 2, 32), counted, 0.5).busy_share == pytest.approx(0.25)


def test_each_version_has_its_own_counters_and_the_latest_is_by_number() -> None:
    reply = {"model_stats": [row(2, 20, {1: 20}), row(10, 40, {1: 40}), row(9, 30, {1: 30})]}
    assert counters_of(reply, 9).requests == 30
    assert counters_of(reply, 2).executions == 20
    assert counters_of(reply, LATEST).requests == 40
    assert counters_of(reply, 3) == counters_of({"model_stats": []}) == counters_of({}) == Counters()


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 9), st.floats(0, 9))
def test_both_protocols_say_the_same(single: int, pairs: int, queue: float, infer: float) -> None:
    reply = {"model_stats": [row(1, single + 2 * pairs, {1: single, 2: pairs}, queue=queue, infer=infer)]}
    assert counters_of(json.loads(json.dumps(as_grpc(reply)))) == counters_of(reply)
    assert counters_of(reply).cached == 5


def test_a_model_that_was_loaded_again_is_named() -> None:
    late, early = Counters(requests=3, queue=9), Counters(requests=2, queue=10)
    with pytest.raises(SmithError, match=r"^moods_engine: was loaded again while it was measured; run the command again$"):
        late.since(early, model="moods_engine")


def test_a_step_that_did_nothing_has_zeros() -> None:
    use = use_of(Step("moods_engine", 1, 1, 32), Counters(), 3.0)
    assert (use.batch_rows, use.busy_share, use.request_ms) == (0, 0, 0)


def test_answers_from_the_cache_thin_what_the_steps_took() -> None:
    counted = [Counters(requests=25, queue=100 * MS, compute_infer=200 * MS), Counters(requests=50, compute_output=200 * MS)]
    reached = [use_of(Step("moods_engine", 1, 1, 32), step, 1.0) for step in counted]
    assert steps_ms(reached, 0.0) == pytest.approx(16)
    assert steps_ms(reached, 0.75) == pytest.approx(4)


def test_the_steps_are_the_ensembles_in_its_order_each_once() -> None:
    named = [("b", "2"), ("a", 1), ("b", 2), ("c", None)]
    steps = [{"model_name": name} | ({"model_version": version} if version else {}) for name, version in named]
    assert ensemble_steps({"ensemble_scheduling": {"step": steps}}, "moods") == [("b", 2), ("a", 1), ("c", LATEST)]
    assert ensemble_steps({"backend": "python"}, "moods") == [("moods", LATEST)]


@pytest.mark.parametrize(
    ("groups", "instances"),
    [
        ([], 1),
        ([{"kind": "KIND_CPU", "count": 3, "gpus": []}], 3),
        ([{"kind": "KIND_GPU", "count": 2, "gpus": [0, 1]}], 4),
        ([{"kind": "KIND_GPU", "count": 1, "gpus": [0]}, {"kind": "KIND_CPU", "count": 2}], 3),
    ],
)
def test_a_group_has_its_instances_on_each_of_its_gpus(groups: list[dict[str, Any]], instances: int) -> None:
    assert step_of("moods_engine", 1, {"instance_group": groups, "max_batch_size": 8}) == Step("moods_engine", 1, instances, 8)


def test_how_many_may_wait_is_read() -> None:
    batching = {"default_queue_policy": {"max_queue_size": 40}}
    assert step_of("moods_engine", 1, {"dynamic_batching": batching}).max_queue_size == 40
    assert step_of("moods_engine", 1, {"dynamic_batching": {}}).max_queue_size == 0
