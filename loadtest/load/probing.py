"""A caller beside the load, who sends one request after another, and when each was answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median
from types import TracebackType
from typing import Self

from tritonsmith import Client
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
    """Asks a pipeline of texts from a thread while the context lasts, each time something new.

    One caller alone: several would now and then wait for each other, on a server at rest too.
    """

    def __init__(self, url: str, pipeline: str) -> None:
        self._url, self._pipeline = url, pipeline
        self.probes: list[Probe] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="probing")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with Client(self._url) as client:
            pipe = client.pipeline(self._pipeline)
            for number in count():
                if self._stop.is_set():
                    return
                sent, error = time.time(), None
                try:
                    pipe(f"Is anybody there, and for the {number}th time?")
                except TritonsmithError as raised:
                    error = type(raised)
                self.probes.append(Probe(sent, time.time(), error))
                time.sleep(_PAUSE)


def usual(probes: Sequence[Probe]) -> float:
    """The median latency of some probes, in seconds."""
    return median(probe.latency for probe in probes)


def recovered_after(probes: Sequence[Probe], end: float, limit: float) -> float | None:
    """Seconds from ``end`` until a request was answered within ``limit`` seconds and all later ones too, None if never."""
    late = max((probe.sent for probe in probes if probe.sent >= end and probe.latency > limit), default=end)
    later = [probe for probe in probes if probe.sent > late]
    return min(probe.ended for probe in later) - end if later else None
