"""What watching costs: a server that looks at what passes and writes of requests, and one that does not, of one repository.

They are asked by short turns, so that a machine that is slower for a while is so for both.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from load.serving import serving
from numpy.typing import NDArray
from tritonsmith import Client

_CALLERS = 32
_WARM_UP = 10.0
_DRAWS = 2000
_OPTIONS = ("--no-cache", "--canary-every=3600")


@dataclass(frozen=True)
class Cost:
    """Texts a second of each round, of a server as it is by default and of one that watches and writes nothing."""

    watched: Sequence[float]
    unwatched: Sequence[float]

    @property
    def share(self) -> float:
        """Of throughput, that watching costs: the median of the rounds' own ratios, less than 0 where chance was greater."""
        return float(np.median(self._shares))

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which that median would lie in 95 of 100 such measurements (percentile bootstrap)."""
        drawn = np.random.default_rng(0).choice(self._shares, (_DRAWS, len(self._shares)))
        low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
        return float(low), float(high)

    @property
    def _shares(self) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = 1 - np.array(self.watched) / np.array(self.unwatched)
        return shares


def cost(
    repository: Path, pipeline: str, texts: Sequence[str], *, rounds: int, seconds: float, told: Callable[[int], None]
) -> Cost:
    """Measure it; the two go first by turns. ``told`` is called with the number of each round that is done."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    with contextlib.ExitStack() as both:
        clients = {}
        for watch in rates:
            options = () if watch else ("--no-watch", "--no-request-log")
            server = both.enter_context(serving(repository, [pipeline], *_OPTIONS, *options))
            clients[watch] = both.enter_context(Client(server.url("grpc"), concurrency=_CALLERS))
            _rate(clients[watch], pipeline, texts, _WARM_UP)
        for number in range(rounds):
            for watch in (True, False) if number % 2 else (False, True):
                rates[watch].append(_rate(clients[watch], pipeline, texts, seconds))
            told(number)
    return Cost(rates[True], rates[False])


def _rate(client: Client, pipeline: str, texts: Sequence[str], seconds: float) -> float:
    """Texts a second, one a request, from many callers."""
    pipe, counts, end = client.pipeline(pipeline), [0] * _CALLERS, time.monotonic() + seconds

    def call(number: int) -> None:
        for turn in itertools.count(number, _CALLERS):
            if time.monotonic() >= end:
                return
            pipe(texts[turn % len(texts)])
            counts[number] += 1

    start = time.monotonic()
    callers = [threading.Thread(target=call, args=(number,)) for number in range(_CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(counts) / (time.monotonic() - start)
