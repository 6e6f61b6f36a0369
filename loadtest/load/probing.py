"""A caller beside the load: one request after another, and when each was answered."""

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
from tritonsmith.errors import TritonsmithError

_PAUSE = 0.05


@dataclass(frozen=True)
class Probe:
    """One request, in Unix time."""

    sent: float
    answered: float | None
    """None where it was refused or too late."""

    @property
    def latency(self) -> float:
        """Seconds; endless where there was no answer."""
        return float("inf") if self.answered is None else self.answered - self.sent


class Probing:
    """Asks a pipeline of texts from a thread of its own while its context lasts, each time something new."""

    def __init__(self, url: str, pipeline: str) -> None:
        self._url, self._pipeline = url, pipeline
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
            for number in count():
                if self._stop.is_set():
                    return
                sent = time.time()
                try:
                    await pipe(f"Is anybody there, for the {number}th time?")
                    self.probes.append(Probe(sent, time.time()))
                except TritonsmithError:
                    self.probes.append(Probe(sent, None))
                await asyncio.sleep(_PAUSE)


def usual(probes: Sequence[Probe]) -> float:
    """The median latency of some probes, in seconds."""
    return median(probe.latency for probe in probes)


def recovered_after(probes: Sequence[Probe], end: float, limit: float) -> float | None:
    """Seconds from ``end`` until a request was answered within ``limit`` seconds and all later ones too, None if never."""
    late = [probe for probe in probes if probe.sent >= end and probe.latency > limit]
    later = [probe for probe in probes if probe.sent >= end and (not late or probe.sent > late[-1].sent)]
    return later[0].sent + later[0].latency - end if later else None
