"""What is made of an overload: when it was over, and which limits hold."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from load.apart import Cores, cores_apart, held_to
from load.h2load import Sent
from load.overload import Overload, Queue, per_second, tuned
from load.probing import Probe, recovered_after, usual
from tritonsmith.errors import OverloadedError

INF = float("inf")
FIGURES = Overload(
    saturated_per_second=100,
    offered_per_second=300,
    answered_per_second=95,
    refused=4000,
    other_errors=0,
    answered_p99_ms=3000,
    refused_p99_ms=20,
    max_queue_size=256,
    queue_ms=2560,
    usual_ms=20,
    recovered_seconds=1.5,
    memory_share=1.01,
)


def probes(*seen: tuple[float, float]) -> list[Probe]:
    """From when they were sent and how long they took."""
    return [Probe(sent, sent, OverloadedError) if latency == INF else Probe(sent, sent + latency) for sent, latency in seen]


@pytest.mark.parametrize(
    ("seen", "after"),
    [
        ([(9, 5), (10.5, 0.1), (11, 0.1)], 0.6),  # what was sent before the end says nothing
        ([(10.5, 1.5), (12, 0.1), (12.5, 0.1)], 2.1),
        ([(10.5, 0.1), (11, INF), (11.5, 0.1)], 1.6),  # one that was quick by chance is no end
        ([(10.5, 0.1), (11, 0.9)], None),
        ([(9, 0.1)], None),
    ],
)
def test_it_is_over_when_every_later_request_is_answered_as_usual(seen: list[tuple[float, float]], after: float | None) -> None:
    found = recovered_after(probes(*seen), end=10, limit=0.2)
    assert found == (None if after is None else pytest.approx(after))


def test_one_that_is_refused_is_no_answer_of_the_usual_time() -> None:
    assert usual(probes((1, 0.1), (2, 0.2), (3, INF))) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, []),
        ({"answered_per_second": 89}, ["answered / saturated"]),
        ({"answered_p99_ms": 5121}, ["answered p99 / queue"]),
        ({"refused_p99_ms": 51}, ["refused p99 ms"]),
        ({"other_errors": 1}, ["other errors"]),
        ({"recovered_seconds": 2.1}, ["recovered after s"]),
        ({"recovered_seconds": None}, ["recovered after s"]),
        ({"memory_share": 1.06}, ["memory at the end / at a quarter"]),
    ],
)
def test_each_limit_can_be_broken(change: dict[str, float | None], broken: list[str]) -> None:
    assert [gate.name for gate in replace(FIGURES, **change).gates() if not gate.holds] == broken  # type: ignore[arg-type]


def test_limits_are_set_in_a_copy_and_the_original_stays(tmp_path: Path) -> None:
    given = {
        "moods/config.pbtxt": "max_batch_size: 32",
        "moods_cached/config.pbtxt": "max_batch_size: 32",
        "moods_tokenize/config.pbtxt": "max_batch_size: 32 a max_queue_size: 256 b",
        "moods_tokenize/configs/cpu.pbtxt": "max_queue_size: 256",
        "moods_engine/configs/cpu.pbtxt": "max_batch_size: 32 max_queue_size: 256",
        "moods_engine/1/model.onnx": "max_queue_size: 256",
        "other_tokenize/config.pbtxt": "max_batch_size: 32 max_queue_size: 256",
    }
    for path, text in given.items():
        (tmp_path / "models" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / path).write_text(text)
    copy = tuned(tmp_path / "models", "moods", tmp_path / "copy", batch=8, queue=40)
    assert {path: (tmp_path / "models" / path).read_text() for path in given} == given
    assert {path: (copy / path).read_text() for path in given} == given | {
        "moods/config.pbtxt": "max_batch_size: 8",
        "moods_cached/config.pbtxt": "max_batch_size: 8",
        "moods_tokenize/config.pbtxt": "max_batch_size: 8 a max_queue_size: 40 b",
        "moods_tokenize/configs/cpu.pbtxt": "max_queue_size: 40",
        "moods_engine/configs/cpu.pbtxt": "max_batch_size: 8 max_queue_size: 256",
    }
    assert {path: (tuned(tmp_path / "models", "moods", tmp_path / "copy") / path).read_text() for path in given} == given


def test_what_waits_beyond_the_queue_counts_with_it() -> None:
    queue = Queue(requests=70, beyond=30, timeout_ms=5000)
    assert queue.milliseconds(50) == 2000
    assert queue.milliseconds(10) == 5000
    assert queue.taking(99.6) == 70
    assert queue.taking(40) == 30


def test_callers_have_a_core_of_their_own_where_there_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, server, callers in [({1, 4, 6}, {1, 4}, {6}), ({3}, {3}, {3})]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, given=given: given)
        assert cores_apart() == Cores(frozenset(server), frozenset(callers))


def test_what_is_started_runs_on_the_cores_that_it_is_given() -> None:
    before = os.sched_getaffinity(0)
    with held_to(frozenset([max(before)])):
        said = subprocess.check_output([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], text=True)
    assert said.strip() == str({max(before)})
    assert os.sched_getaffinity(0) == before


def test_what_is_answered_counts_once_the_queues_are_full_and_until_the_last_was_sent() -> None:
    at_start = [Sent(0.1 * number, 200, 0.01) for number in range(10)]
    full = [Sent(1 + number, 200, 0.5) for number in range(4)]
    refused = [Sent(1 + number, 503, 0.01) for number in range(4)]
    last = [Sent(4, 200, 2)]  # answered after the load
    assert per_second([*at_start, *full, *refused, *last]) == pytest.approx(3 / 3)  # of 1.5, 2.5 and 3.5 s
