"""A closed loop: so many requests in flight at all times, each caller sending its next when it has its answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tritonsmith import TritonsmithError
from tritonsmith.calls import Arrays

Snapshot = TypeVar("Snapshot")
Send = Callable[[Arrays], Awaitable[Any]]
Passed = Callable[[float], None]

PAUSE = 0.01
"""Seconds a caller waits after an error. Without them a refusing server would be asked for refusals alone."""
_TICK = 0.5


@dataclass
class Load(Generic[Snapshot]):
    """What the callers saw in the counted window; ``uncounted`` are the answers before and after it."""

    concurrency: int
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    said: dict[str, str] = field(default_factory=dict)
    """Of each kind of error, what the last one said."""
    uncounted: int = 0
    seconds: float = 0.0
    loop_share: float = 0.0
    """Of the time, how much the loop that sends and receives was at work; at 1 it is the limit."""
    cores: float = 0.0
    """Processors that the whole client kept busy."""
    counting: bool = False
    ended: bool = False
    snapshots: tuple[Snapshot, ...] = ()
    """The server's counters at the window's two ends."""


def error_kind(error: TritonsmithError) -> str:
    """``RequestTimeoutError`` as a table says it: request timeout."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()


async def loaded(
    send: Sequence[Send],
    requests: Iterator[Arrays],
    concurrency: int,
    *,
    warm_up: float,
    seconds: float,
    snapshot: Callable[[], Awaitable[Snapshot]],
    passed: Passed,
) -> Load[Snapshot]:
    """Keep ``concurrency`` requests in flight; count from after the warm-up for so many seconds.

    The callers take the given connections in turn. What is in flight when the window ends is answered before this returns.
    """
    load: Load[Snapshot] = Load(concurrency)
    callers = [asyncio.ensure_future(_caller(send[number % len(send)], requests, load)) for number in range(concurrency)]
    try:
        await _pass(warm_up, passed)
        before = await snapshot()
        clocks = _clocks()
        load.counting = True
        await _pass(seconds, passed)
        after = await snapshot()
        load.counting, load.ended = False, True
        load.seconds, loop, process = (now - then for now, then in zip(_clocks(), clocks, strict=True))
        load.loop_share, load.cores = loop / load.seconds, process / load.seconds
        load.snapshots = before, after
        await asyncio.gather(*callers)
    finally:
        for caller in callers:
            caller.cancel()
    return load


async def _caller(send: Send, requests: Iterator[Arrays], load: Load[Any]) -> None:
    while not load.ended:
        start = time.perf_counter()
        try:
            await send(next(requests))
        except TritonsmithError as error:
            if load.counting:
                load.errors[error_kind(error)] += 1
            load.said[error_kind(error)] = str(error)
            await asyncio.sleep(PAUSE)
        else:
            if load.counting:
                load.latencies.append(time.perf_counter() - start)
            else:
                load.uncounted += 1


def _clocks() -> tuple[float, float, float]:
    return time.perf_counter(), time.thread_time(), time.process_time()


async def _pass(seconds: float, passed: Passed) -> None:
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        start = time.perf_counter()
        await asyncio.sleep(min(_TICK, left))
        passed(time.perf_counter() - start)
