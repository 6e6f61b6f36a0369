"""What Locust has counted, second by second: levels of a ramp and pictures are made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

KNEE = 0.95
"""Share of the best throughput from which more users buy only waiting."""
_SETTLING = 0.25
"""Share of a level that is not counted: users are still coming or going."""


@dataclass(frozen=True)
class Sample:
    """Everything counted up to a moment."""

    seconds: float
    users: int
    requests: int
    errors: int
    times: Mapping[int, int]
    """How many requests took so many milliseconds, as Locust rounds them."""


@dataclass(frozen=True)
class Window:
    """What happened between two samples."""

    seconds: float
    """When it ended."""
    users: int
    requests_per_second: float
    errors_per_second: float
    p50_ms: float
    p99_ms: float


def percentile(times: Mapping[int, int], share: float) -> float:
    """The smallest time that ``share`` of all do not exceed, 0 of none."""
    wanted, seen = share * sum(times.values()), 0
    for time in sorted(times):
        seen += times[time]
        if seen >= wanted:
            return time
    return 0.0


def between(before: Sample, after: Sample) -> Window:
    """The requests that were answered between two samples."""
    times = Counter(after.times)
    times.subtract(before.times)
    seconds, errors = after.seconds - before.seconds, after.errors - before.errors
    return Window(
        seconds=after.seconds,
        users=after.users,
        requests_per_second=(after.requests - before.requests - errors) / seconds,
        errors_per_second=errors / seconds,
        p50_ms=percentile(+times, 0.5),
        p99_ms=percentile(+times, 0.99),
    )


def windows(samples: Sequence[Sample]) -> list[Window]:
    """Second by second."""
    return [between(*pair) for pair in pairwise(samples)]


def levels(samples: Sequence[Sample]) -> list[Window]:
    """One window for each time in which the users stayed as many, without its beginning."""
    found = []
    for _, group in groupby(samples, key=lambda sample: sample.users):
        level = list(group)
        settled = level[int(len(level) * _SETTLING) :]
        if len(settled) > 1:
            found.append(between(settled[0], settled[-1]))
    return found


def knee(levels: Sequence[Window]) -> Window | None:
    """The fewest users with nearly the best throughput, None where nothing was answered."""
    best = max((level.requests_per_second for level in levels), default=0.0)
    by_users = sorted(levels, key=lambda level: level.users)
    return next((level for level in by_users if best and level.requests_per_second >= KNEE * best), None)
