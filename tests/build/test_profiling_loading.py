"""The closed loop, and the figures of a level and of a sweep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_profiling_advice import level
from tiny_images import encoded, pictures
from tritonsmith import OverloadedError, RequestTimeoutError
from tritonsmith_build.errors import SmithError
from tritonsmith_build.profiling.asking import images_for, requests_from, texts_for
from tritonsmith_build.profiling.levels import PERCENTILES, knee_of, level_of, percentile
from tritonsmith_build.profiling.loading import Load, error_kind, loaded
from tritonsmith_build.profiling.statistics import Counters, Step
from tritonsmith_build.profiling.sweep import concurrencies

TEXTS = ["one", "two", "three", "four", "five"]


def sent(texts: list[str], batch: int) -> list[list[str]]:
    requests = requests_from("TEXT", [text.encode() for text in texts], batch)
    assert all(request["TEXT"].shape == (batch, 1) for request in requests)
    return [[text.decode() for text in request["TEXT"].ravel()] for request in requests]


def test_texts_are_sent_in_turn_and_the_last_request_is_full_too() -> None:
    assert sent(TEXTS, 1) == [[text] for text in TEXTS]
    assert sent(TEXTS, 2) == [["one", "two"], ["three", "four"], ["five", "one"]]
    assert sent(["one", "two"], 5) == [["one", "two", "one", "two", "one"]]


def run(answer: Callable[[], Any], concurrency: int, seconds: float = 0.2) -> Load[int]:
    """Load a server that is a coroutine of the test's own; its snapshots are numbered."""
    taken = iter(range(9))

    async def send(_: Any) -> None:
        await answer()

    async def snapshot() -> int:
        return next(taken)

    async def whole() -> Load[int]:
        return await loaded(
            [send],
            cycle(requests_from("TEXT", [b"one", b"two"], 1)),
            concurrency,
            warm_up=0.05,
            seconds=seconds,
            snapshot=snapshot,
            passed=lambda _: None,
        )

    return asyncio.run(whole())


def test_so_many_requests_are_in_flight_and_no_more() -> None:
    flying, seen = 0, set()

    async def answer() -> None:
        nonlocal flying
        flying += 1
        seen.add(flying)
        await asyncio.sleep(0.01)
        flying -= 1

    load = run(answer, 7)
    assert max(seen) == 7
    assert flying == 0
    assert load.snapshots == (0, 1)
    # Of a closed loop: in flight = throughput times latency.
    assert len(load.latencies) / load.seconds * np.mean(load.latencies) == pytest.approx(7, rel=0.2)
    assert min(load.latencies) >= 0.009
    assert load.uncounted >= 7


def test_errors_are_counted_by_kind_and_end_nothing() -> None:
    turns = cycle([OverloadedError("full"), None, RequestTimeoutError("late"), OverloadedError("full")])

    async def answer() -> None:
        await asyncio.sleep(0.002)
        if error := next(turns):
            raise error

    load = run(answer, 2, 0.4)
    assert set(load.errors) == {"overloaded", "request timeout"}
    assert load.errors["overloaded"] == pytest.approx(2 * load.errors["request timeout"], abs=2)
    assert len(load.latencies) == pytest.approx(load.errors["request timeout"], abs=2)
    assert load.said == {"overloaded": "full", "request timeout": "late"}


def test_a_server_that_refuses_everything_is_not_stormed() -> None:
    async def answer() -> None:
        raise OverloadedError("full")

    load = run(answer, 4)
    assert 0 < load.errors["overloaded"] <= 4 * (1 + load.seconds / 0.01)
    assert load.latencies == []


def test_a_fault_of_the_program_is_no_error_of_the_server() -> None:
    async def answer() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run(answer, 2)


def test_an_error_has_its_name_in_words() -> None:
    assert error_kind(RequestTimeoutError("")) == "request timeout"
    assert error_kind(OverloadedError("")) == "overloaded"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_a_percentile_is_the_first_value_that_so_many_do_not_exceed(values: list[float]) -> None:
    for share in (1, *PERCENTILES, 100):
        found = percentile(values, share)
        assert found in values
        assert (
            100 * sum(value < found for value in values) < share * len(values) <= 100 * sum(value <= found for value in values)
        )


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 50) is None


def test_a_level_is_what_both_ends_counted() -> None:
    load: Load[Any] = Load(4, latencies=[0.010, 0.030, 0.020, 0.040], seconds=2.0, loop_share=0.5, cores=0.7, uncounted=9)
    load.errors["overloaded"] = 3
    ms = 1_000_000
    before = (Counters(requests=100, cached=7), Counters(requests=50, queue=5 * ms, rows=60, executions=20))
    after = (
        Counters(requests=104, cached=8),
        Counters(requests=53, queue=11 * ms, compute_infer=42 * ms, rows=66, executions=22, executing=500 * ms),
    )
    load.snapshots = before, after
    made = level_of(load, 2, "moods", [Step("moods_engine", 1, 1, 32)])
    assert (made.requests, made.requests_per_second, made.items_per_second) == (4, 2.0, 4.0)
    assert made.latency_ms == pytest.approx({"mean": 25.0, "p50": 20.0, "p95": 40.0, "p99": 40.0})
    assert (made.server_answers, made.cache_hit_share, made.errors) == (4, 0.25, {"overloaded": 3})
    (step,) = made.steps
    assert (step.batch_rows, step.busy_share) == (3, 0.25)
    # Three of four answers came through the step, 16 ms each.
    assert step.request_ms == pytest.approx(16)
    assert made.steps_ms == pytest.approx(12)
    assert made.outside_ms == pytest.approx(13)


def test_the_knee_is_the_smallest_with_nearly_the_best_throughput() -> None:
    rates = {32: 1000.0, 8: 951.0, 4: 949.0, 16: 990.0, 1: 400.0}
    found = knee_of([level(size, rate) for size, rate in rates.items()])
    assert found is not None
    assert found.concurrency == 8
    assert knee_of([level(1, 0.0), level(2, 0.0)]) is None
    assert knee_of([]) is None


@pytest.mark.parametrize(("written", "read"), [("1", (1,)), ("8, 1,2 ,8", (1, 2, 8))])
def test_concurrency_is_a_list(written: str, read: tuple[int, ...]) -> None:
    assert concurrencies(written) == read


@pytest.mark.parametrize("written", ["", "1,", "0", "-1", "1-8", "two", "1.5", "²"])
def test_what_is_no_list_is_refused(written: str) -> None:
    with pytest.raises(SmithError, match=r"^--concurrency: .* is no list of whole numbers from 1 on; write 1,2,4,8$"):
        concurrencies(written)


def test_texts_are_a_persons_own_or_those_of_the_package(tmp_path: Any) -> None:
    (tmp_path / "mine.txt").write_text("first\n\nsecond\n")
    assert texts_for(tmp_path / "mine.txt") == [b"first", b"second"]
    assert len(set(texts_for(None))) == len(texts_for(None)) >= 100
    with pytest.raises(SmithError, match="no such file; give --data"):
        texts_for(tmp_path / "none.txt")


def test_images_are_those_of_a_folder_or_drawn_ones(tmp_path: Any) -> None:
    for at, image in enumerate(pictures()[:2]):
        (tmp_path / f"{at}.PNG").write_bytes(encoded(image, "PNG"))
    assert images_for(tmp_path) == [encoded(image, "PNG") for image in pictures()[:2]]
    assert len(set(images_for(None))) == len(images_for(None)) == 32
    assert all(file.startswith(b"\xff\xd8") for file in images_for(None))
    with pytest.raises(SmithError, match="holds no image; give --data a folder with"):
        images_for(tmp_path / "none")
