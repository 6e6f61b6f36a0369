"""Three times what a pipeline can do: what is answered, how quickly the rest is refused, and how soon it is over."""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import cycle, islice
from pathlib import Path

from tritonsmith.transport import Address, transport_to
from tritonsmith_build.profiling.levels import percentile

from load import h2load
from load.gates import Gate
from load.h2load import Sent
from load.items import pool_of
from load.locusting import Target
from load.memory import Watched
from load.probing import Probing, recovered_after, usual
from load.scenario import Asked

TIMES = 3
"""Of the saturated throughput."""
SATURATING = 48
"""Callers in a closed loop that a small server cannot keep up with."""
_QUEUE = re.compile(r"(max_queue_size: )\d+")
_BATCH = re.compile(r"(max_batch_size: )\d+")
_FIRST = "tokenize"
"""What a pipeline of texts begins with."""
_QUIET_SECONDS = 3.0
_AFTER_SECONDS = 6.0
_WARM = 0.25
"""Of a load: queues fill, and buffers grow to what it needs."""
Requests = Sequence[Sequence[str]]
"""The texts of each."""


@dataclass(frozen=True)
class Overload:
    """The figures of one run."""

    saturated_per_second: float
    offered_per_second: float
    answered_per_second: float
    refused: int
    other_errors: int
    answered_p99_ms: float
    refused_p99_ms: float
    max_queue_size: int
    queue_ms: float
    """Of all that may wait."""
    usual_ms: float
    recovered_seconds: float | None
    memory_share: float
    """Of the server's memory after the first quarter, at the end."""

    def gates(self) -> list[Gate]:
        """What must hold."""
        recovered = float("inf") if self.recovered_seconds is None else self.recovered_seconds
        return [
            _at_least("answered / saturated", 0.9, self.answered_per_second / self.saturated_per_second),
            _at_most("answered p99 / queue", 2.0, self.answered_p99_ms / self.queue_ms),
            _at_most("refused p99 ms", 50.0, self.refused_p99_ms),
            _at_most("other errors", 0.0, self.other_errors),
            _at_most("recovered after s", 2.0, recovered),
            _at_most("memory at the end / at a quarter", 1.05, self.memory_share),
        ]


def _at_least(name: str, limit: float, value: float) -> Gate:
    return Gate(name, limit, value, value >= limit)


def _at_most(name: str, limit: float, value: float) -> Gate:
    return Gate(name, limit, value, value <= limit)


def requests(texts: int) -> list[list[str]]:
    """One of so many texts for each process that sends; the texts, of many lengths, go round."""
    pool = cycle(pool_of(Asked(name="texts"), ["TEXT"]))
    return [[*islice(pool, texts)] for _ in range(h2load.PROCESSES)]


def saturated(target: Target, pipeline: str, asked: Requests, folder: Path, *, seconds: float) -> float:
    """How many requests a second a server answers at most; ``folder`` keeps what was sent."""
    sent = h2load.closed_loop(_url(target, pipeline), asked, folder / "saturated", callers=SATURATING, seconds=seconds)
    return per_second(sent)


def tuned(repository: Path, pipeline: str, folder: Path, *, batch: int | None = None, queue: int | None = None) -> Path:
    """A copy of a repository, its large files linked, with other limits of a pipeline.

    ``batch`` rows are the most that any step takes, and ``queue`` requests may wait before the first step.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(repository, folder, copy_function=os.link)
    for file in [*folder.glob(f"{pipeline}/*.pbtxt"), *folder.glob(f"{pipeline}_*/**/*.pbtxt")]:
        text = file.read_text(encoding="utf-8")
        if batch:
            text = _BATCH.sub(rf"\g<1>{batch}", text)
        if queue and not file.is_relative_to(folder / f"{pipeline}_engine"):
            text = _QUEUE.sub(rf"\g<1>{queue}", text)
        file.unlink()  # a link, which would change the original
        file.write_text(text, encoding="utf-8")
    return folder


def overload(target: Target, pipeline: str, asked: Requests, saturated: float, folder: Path, *, seconds: float) -> Overload:
    """Send a server of this machine three times what saturates it, and wait for rest; ``folder`` keeps what was sent."""
    assert target.pid is not None
    with Probing(target.url, pipeline) as probing, Watched(target.pid) as memory:
        time.sleep(_QUIET_SECONDS)
        before = usual(probing.probes)
        url, rate = _url(target, pipeline), TIMES * saturated
        sent = h2load.open_loop(url, asked, folder / "overloaded", rate=rate, seconds=seconds)
        time.sleep(_AFTER_SECONDS)
    begun, end = sent[0].at, sent[-1].at
    answered, refused = _answered(sent), [one for one in sent if one.status == HTTPStatus.SERVICE_UNAVAILABLE]
    queue = queue_of(target, pipeline, asked)
    return Overload(
        saturated_per_second=saturated,
        offered_per_second=len(sent) / (end - begun),
        answered_per_second=per_second(sent),
        refused=len(refused),
        other_errors=len(sent) - len(answered) - len(refused),
        answered_p99_ms=_p99_ms(answered),
        refused_p99_ms=_p99_ms(refused),
        max_queue_size=queue.requests,
        queue_ms=queue.milliseconds(saturated),
        usual_ms=1000 * before,
        recovered_seconds=recovered_after(probing.probes, end, 2 * before),
        memory_share=memory.near(end) / memory.near(begun + _WARM * (end - begun)),
    )


def _url(target: Target, pipeline: str) -> str:
    return f"{target.url}/v2/models/{pipeline}/infer"


def _answered(sent: Sequence[Sent]) -> list[Sent]:
    return [one for one in sent if one.status == HTTPStatus.OK]


def per_second(sent: Sequence[Sent]) -> float:
    """Answered a second, once the queues are full and until the last was sent."""
    begun, end = sent[0].at, sent[-1].at
    warm = begun + _WARM * (end - begun)
    return sum(warm <= one.ended <= end for one in _answered(sent)) / (end - warm)


def _p99_ms(sent: Sequence[Sent]) -> float:
    """Endless where there was none: who refuses nothing was not overloaded."""
    seconds = percentile([one.seconds for one in sent], 99)
    return math.inf if seconds is None else 1000 * seconds


@dataclass(frozen=True)
class Queue:
    """Where requests wait: before the first step, and three batches beyond it, one in that step's hands, two at the engine."""

    requests: int
    """``max_queue_size``."""
    beyond: int
    timeout_ms: float

    def milliseconds(self, per_second: float) -> float:
        """How long it takes when it is full, or a request may wait in it, whichever is less."""
        return min(1000 * (self.requests + self.beyond) / per_second, self.timeout_ms)

    def taking(self, requests: float) -> int:
        """The ``max_queue_size`` with which so many wait in all, but more than a batch before the first step.

        Where one batch empties a queue, Triton's batcher (2.51) goes to sleep for half a second. Only a request that is let in
        wakes it, and a queue that is full again by then lets none in.
        """
        return max(round(requests) - self.beyond, self.beyond)


def queue_of(target: Target, pipeline: str, asked: Requests) -> Queue:
    """A pipeline's, for such requests."""
    wire = transport_to(Address.parse(target.url, timeout=_QUIET_SECONDS))
    config = wire.config(f"{pipeline}_{_FIRST}", _QUIET_SECONDS)
    wire.close()
    policy = config["dynamic_batching"]["default_queue_policy"]
    beyond = 3 * int(config["max_batch_size"]) // len(asked[0])
    return Queue(int(policy["max_queue_size"]), beyond, int(policy["default_timeout_microseconds"]) / 1000)
