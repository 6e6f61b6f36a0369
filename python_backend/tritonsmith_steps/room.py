"""Room at an engine: the step before it holds back what the engine could not begin with.

What waits at an engine has been tokenized or decoded. Where callers ask for more than a machine can do, that work would be
done for all of them, by the cores that the engine needs, and thrown away for those whom the engine's full queue refuses. Held
back, they wait before the first step instead, whose own queue then refuses what is too much in next to no time.

Triton 2.51 tells no step how long another's queue is. So the steps' processes count for each other, in a file in shared memory
that the server which started them names. Where it names none, or the engine is no process of ours, nothing is held back.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tritonsmith_steps.arrays import Arrays, Result

VARIABLE = "TRITONSMITH_ROOM"
"""Names how the files begin; who starts a server chooses it, and removes them when it has ended."""
_ENGINES = 64
"""Instances at most; those beyond are not seen."""
_WORKING = -1
_BETWEEN_NS = 50_000_000
"""An engine that has done nothing for so long has nothing before it, whatever was counted."""
_PATIENCE = 2.0
"""Seconds for which an engine may take nothing: it hangs, or its batches are that slow."""
_LOOK = 0.005
"""Seconds between two looks."""
_BATCHES = 2
"""May wait at an engine. One is not enough: Triton's batcher goes to sleep where it takes a queue's last request, and an engine
that is at work when the next comes does not wake it afterwards."""
Step = Callable[[Sequence[Arrays]], list[Result]]


class Room:
    """Counts of rows that went to an engine and that it took, shared by processes; each number has one that writes it.

    They tell how many wait there, or more where some were given up on the way: those are forgotten as soon as the engine gets
    less than half a batch, because then nothing waits.
    """

    def __init__(self, file: Path) -> None:
        with file.open("a+b") as opened:
            size = 8 * (2 + 2 * _ENGINES)
            os.ftruncate(opened.fileno(), size)
            numbers = np.frombuffer(mmap.mmap(opened.fileno(), size), dtype=np.int64)
        self._most, self._sent = numbers[:1], numbers[1:2]
        self._taken, self._free_since = numbers[2 : 2 + _ENGINES], numbers[2 + _ENGINES :]

    @property
    def waiting(self) -> int:
        """Rows that went to the engine and that it has not taken."""
        return int(self._sent[0] - self._taken.sum())

    def sending(self, step: Step) -> Step:
        """The step before an engine, begun only when fewer than two batches wait there."""

        def held_back(requests: Sequence[Arrays]) -> list[Result]:
            self._wait()
            results = step(requests)
            self._sent[0] += sum(len(next(iter(result.values()))) for result in results if not isinstance(result, ValueError))
            return results

        return held_back

    def taking(self, step: Step, instance: int, most: int) -> Step:
        """One of an engine's instances, which gets batches of at most so many rows."""
        if instance >= _ENGINES:
            return step
        self._most[0] = most
        self._take(instance, self.waiting)  # what waited for a process that is no more
        self._rest(instance)

        def counted(requests: Sequence[Arrays]) -> list[Result]:
            rows = sum(len(next(iter(request.values()))) for request in requests)
            self._free_since[instance] = _WORKING
            self._take(instance, self.waiting if 2 * rows < most else min(rows, self.waiting))
            try:
                return step(requests)
            finally:
                self._rest(instance)

        return counted

    def _take(self, instance: int, rows: int) -> None:
        self._taken[instance] += rows

    def _rest(self, instance: int) -> None:
        self._free_since[instance] = time.monotonic_ns()

    def _wait(self) -> None:
        taken, until = self._taken.sum(), time.monotonic() + _PATIENCE
        while self.waiting >= _BATCHES * self._most[0] > 0 and self._at_work():
            if time.monotonic() > until:
                return
            time.sleep(_LOOK)
            if (now := self._taken.sum()) != taken:
                taken, until = now, time.monotonic() + _PATIENCE

    def _at_work(self) -> bool:
        since = self._free_since
        return bool(((since == _WORKING) | (since > time.monotonic_ns() - _BETWEEN_NS)).any())


def room_of(pipeline: str, version: str) -> Room | None:
    """That of a pipeline's engine; None where whoever started this process names none."""
    start = os.environ.get(VARIABLE)
    return Room(Path(f"{start}{pipeline}.{version}")) if start else None
