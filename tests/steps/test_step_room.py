"""What the step before an engine is held back by, and by what not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonsmith_steps import room
from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.room import Room

MOST = 4
SECONDS = 10


def rows(count: int) -> Arrays:
    return {"input_ids": np.zeros((count, 3), dtype=np.int32)}


def echo(requests: Sequence[Arrays]) -> list[Result]:
    return [*requests]


class Pair:
    """The step before an engine and the engine, as two processes would have them, each with its own view of the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begun, self._go = threading.Semaphore(0), threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(4)
        self.send = Room(file).sending(echo)
        self.waiting = lambda: Room(file).waiting

    def engine(self, instance: int = 0) -> Callable[[Sequence[Arrays]], list[Result]]:
        """A new process of one, whose batches last until ``finish``."""

        def compute(requests: Sequence[Arrays]) -> list[Result]:
            self._begun.release()
            assert self._go.acquire(timeout=SECONDS)
            return [*requests]

        return Room(self._file).taking(compute, instance, MOST)

    def begin(self, engine: Callable[[Sequence[Arrays]], list[Result]], *counts: int) -> Any:
        """A batch under way; its future."""
        under_way = self._pool.submit(engine, [rows(count) for count in counts])
        assert self._begun.acquire(timeout=SECONDS)
        return under_way

    def finish(self) -> None:
        self._go.release()

    def sent(self, count: int) -> Any:
        """A batch sent by another thread; its future."""
        return self._pool.submit(self.send, [rows(count)])

    def close(self) -> None:
        for _ in range(8):
            self._go.release()
        self._pool.shutdown()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "room")
    yield pair
    pair.close()


def test_two_batches_may_wait_and_the_next_when_one_is_taken(pair: Pair) -> None:
    engine = pair.engine()
    pair.send([rows(MOST)])
    first = pair.begin(engine, MOST)
    assert pair.waiting() == 0
    pair.send([rows(MOST)])
    pair.send([rows(MOST), rows(1)])
    assert pair.waiting() == 2 * MOST + 1
    held = pair.sent(2)
    with pytest.raises(TimeoutError):
        held.result(timeout=0.1)
    pair.finish()
    first.result(timeout=SECONDS)
    pair.begin(engine, MOST)  # what Triton does at once, as it has it at hand
    held.result(timeout=SECONDS)
    assert pair.waiting() == MOST + 1 + 2


def test_where_no_engine_counts_nothing_is_held_back(pair: Pair) -> None:
    for _ in range(10):
        pair.send([rows(MOST)])


def test_an_engine_at_rest_holds_nothing_back(pair: Pair) -> None:
    """Requests may be given up between the steps: what was counted for them must not block those who come later."""
    pair.engine()
    for _ in range(10):
        pair.send([rows(MOST)])


def test_an_engine_that_takes_nothing_holds_back_for_a_while_only(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PATIENCE", 0.1)
    pair.begin(pair.engine(), 1)
    for _ in range(4):
        pair.send([rows(MOST)])


def test_less_than_half_a_batch_says_that_nothing_waits(pair: Pair) -> None:
    engine = pair.engine()
    pair.send([rows(MOST)])
    pair.send([rows(MOST)])
    pair.begin(engine, 1)
    assert pair.waiting() == 0
    pair.send([rows(3)])
    assert pair.waiting() == 3


def test_half_a_batch_says_nothing_of_what_waits(pair: Pair) -> None:
    """The next request may be too large to fit in."""
    engine = pair.engine()
    pair.send([rows(MOST)])
    pair.send([rows(MOST)])
    pair.begin(engine, 2)
    assert pair.waiting() == 2 * MOST - 2


def test_what_nobody_sent_is_not_owed(pair: Pair) -> None:
    """Warm-up and a supervisor's questions come to the engine past the step before it."""
    engine = pair.engine()
    pair.begin(engine, MOST)
    assert pair.waiting() == 0
    pair.send([rows(3)])
    assert pair.waiting() == 3


def test_a_new_process_of_an_engine_begins_with_nothing(pair: Pair) -> None:
    pair.begin(pair.engine(), MOST)
    pair.send([rows(MOST)])
    pair.send([rows(MOST)])
    pair.engine()
    assert pair.waiting() == 0
    pair.send([rows(MOST)])


def test_instances_take_from_one_queue(pair: Pair) -> None:
    first, second = pair.engine(0), pair.engine(1)
    pair.send([rows(MOST), rows(MOST)])
    pair.begin(first, MOST)
    pair.begin(second, 3)
    assert pair.waiting() == 1
    third = pair.engine(64)  # more than are counted
    pair.begin(third, MOST)
    assert pair.waiting() == 1


def test_a_callers_error_goes_no_further(tmp_path: Path) -> None:
    shared = Room(tmp_path / "room")
    bad = ValueError("no text")
    assert shared.sending(lambda _: [bad, rows(2)])([rows(1), rows(2)])[0] is bad
    assert shared.waiting == 2


def test_an_engine_that_fails_is_at_rest_again(tmp_path: Path) -> None:
    shared = Room(tmp_path / "room")

    def fail(_: Sequence[Arrays]) -> list[Result]:
        raise RuntimeError("out of memory")

    engine, send = shared.taking(fail, 0, MOST), shared.sending(echo)
    with pytest.raises(RuntimeError):
        engine([rows(MOST)])
    for _ in range(10):
        send([rows(MOST)])
