"""Callers beside the load: each sends one request after another, and when each was answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median
from types import TracebackType
from typing import Self

from tritonsmith import AsyncClient
from tritonsmith.client import AsyncPipeline
from tritonsmith.errors import TritonsmithError

_PAUSE = 0.05


@dataclass(frozen=True)
class Probe:
    """One request, in Unix time."""

    sent: float
    ended: float
    error: type[TritonsmithError] | None = None
    """None where it was answered."""

    @property
    def latency(self) -> float:
        """Seconds; endless where there was no answer."""
        return float("inf") if self.error else self.ended - self.sent


class Probing:
    """So many callers ask a pipeline of texts from one thread while the context lasts, each time something new."""

    def __init__(self, url: str, pipeline: str, callers: int = 4) -> None:
        self._url, self._pipeline, self._callers = url, pipeline, callers
        self.probes: list[Probe] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), name="probing")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    async def _ask(self) -> None:
        async with AsyncClient(self._url) as client:
            pipe = await client.pipeline(self._pipeline)
            await asyncio.gather(*(self._one(pipe, caller) for caller in range(self._callers)))

    async def _one(self, pipe: AsyncPipeline, caller: int) -> None:
        for number in count():
            if self._stop.is_set():
                return
            sent, error = time.time(), None
            try:
                await pipe(f"Is anybody there, asks {caller} for the {number}th time?")
            except TritonsmithError as raised:
                error = type(raised)
            self.probes.append(Probe(sent, time.time(), error))
            await asyncio.sleep(_PAUSE)


def usual(probes: Sequence[Probe]) -> float:
    """The median latency of some probes, in seconds."""
    return median(probe.latency for probe in probes)


def recovered_after(probes: Sequence[Probe], end: float, limit: float) -> float | None:
    """Seconds from ``end`` until a request was answered within ``limit`` seconds and all later ones too, None if never."""
    late = max((probe.sent for probe in probes if probe.sent >= end and probe.latency > limit), default=end)
    later = [probe for probe in probes if probe.sent > late]
    return min(probe.ended for probe in later) - end if later else None
