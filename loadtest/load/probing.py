"""A caller beside the load, who sends one request after another, and when each was answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from types import TracebackType

from tritonsmith import Client
from tritonsmith.errors import TritonsmithError

from load.repeating import Repeating

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


class Probing(Repeating):
    """Asks a pipeline of texts again and again while the context lasts, each time something new.

    One caller alone: several would now and then wait for each other, on a server at rest too.
    """

    def __init__(self, url: str, pipeline: str) -> None:
        super().__init__(_PAUSE)
        self._client = Client(url)
        self._pipe = self._client.pipeline(pipeline)
        self.probes: list[Probe] = []

    def turn(self) -> None:
        """Ask once."""
        sent, error = time.time(), None
        try:
            self._pipe(f"Is anybody there, and for the {len(self.probes)}th time?")
        except TritonsmithError as raised:
            error = type(raised)
        self.probes.append(Probe(sent, time.time(), error))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self._client.close()


def usual(probes: Sequence[Probe]) -> float:
    """The median latency of some probes, in seconds."""
    return median(probe.latency for probe in probes)


def recovered_after(probes: Sequence[Probe], end: float, limit: float) -> float | None:
    """Seconds from ``end`` until a request was answered within ``limit`` seconds and all later ones too, None if never."""
    late = max((probe.sent for probe in probes if probe.sent >= end and probe.latency > limit), default=end)
    later = [probe for probe in probes if probe.sent > late]
    return min(probe.ended for probe in later) - end if later else None
