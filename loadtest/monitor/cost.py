"""What watching costs: two servers of one repository, one that looks at what passes and one that does not, by turns."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from load.serving import serving
from tritonsmith import Client

_CALLERS = 32
_OPTIONS = ("--no-cache", "--canary-every=3600")


@dataclass(frozen=True)
class Cost:
    """Texts a second of each round, with watching and without."""

    watched: Sequence[float]
    unwatched: Sequence[float]

    @property
    def share(self) -> float:
        """Of throughput, that watching costs: the median of the rounds' own ratios, less than 0 where chance was greater."""
        return 1 - statistics.median(a / b for a, b in zip(self.watched, self.unwatched, strict=True))


def cost(
    repository: Path, pipeline: str, texts: Sequence[str], *, rounds: int, seconds: float, told: Callable[[int], None]
) -> Cost:
    """Measure it; the two go first by turns. ``told`` is called with the number of each round that is done."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    with contextlib.ExitStack() as both:
        clients = {}
        for watch in rates:
            option = "--watch" if watch else "--no-watch"
            server = both.enter_context(serving(repository, [pipeline], *_OPTIONS, option))
            clients[watch] = both.enter_context(Client(server.url("grpc"), concurrency=_CALLERS))
            _rate(clients[watch], pipeline, texts, seconds)  # warms up
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
