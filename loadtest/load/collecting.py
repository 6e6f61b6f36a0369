"""From Locust's statistics to a result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from locust.stats import RequestStats, StatsEntry

from load.counters import StepTimes
from load.gates import Totals, checked
from load.recording import Sample, knee, levels, percentile, windows
from load.results import Problem, Result, Row
from load.scenario import Scenario


def sample_of(stats: RequestStats, seconds: float, users: int) -> Sample:
    """What has been counted until now."""
    total = stats.total
    return Sample(seconds, users, total.num_requests, total.num_failures, _answered(stats))


def _answered(stats: RequestStats) -> Counter[int]:
    """How many answers took so many milliseconds; errors are not among them."""
    times: Counter[int] = Counter()
    for entry in stats.entries.values():
        if not entry.num_failures:
            times.update(entry.response_times)
    return times


def result_of(
    scenario: Scenario,
    url: str,
    stats: RequestStats,
    samples: Sequence[Sample],
    steps: Sequence[StepTimes],
    ended: float,
    generator_cores: float,
) -> Result:
    """Put a run together when it is over. Its time is that between the first and the last sample."""
    seconds = samples[-1].seconds - samples[0].seconds if len(samples) > 1 else scenario.load.seconds
    total = stats.total
    p50, p95, p99 = (percentile(_answered(stats), share) for share in (0.5, 0.95, 0.99))
    totals = Totals(total.num_requests, total.num_failures, seconds, p50, p95, p99)
    stairs = levels(samples) if scenario.load.shape == "ramp" else []
    return Result(
        scenario=scenario,
        url=url,
        totals=totals,
        rows=tuple(_row(entry, seconds) for _, entry in sorted(stats.entries.items())),
        problems=tuple(_problem(error) for error in stats.errors.values()),
        gates=tuple(checked(scenario.gates, totals)),
        windows=tuple(windows(samples)),
        levels=tuple(stairs),
        knee=knee(stairs),
        steps=tuple(steps),
        ended=ended,
        generator_cores=generator_cores,
    )


def _percentiles(entry: StatsEntry) -> tuple[float, float, float]:
    at = [float(entry.get_response_time_percentile(share) or 0.0) for share in (0.5, 0.95, 0.99)]
    return at[0], at[1], at[2]


def _row(entry: StatsEntry, seconds: float) -> Row:
    return Row(
        f"{entry.method} {entry.name}",
        entry.num_requests,
        entry.num_failures,
        entry.num_requests / seconds,
        entry.avg_content_length,
        *_percentiles(entry),
        entry.max_response_time,
    )


def _problem(error: Any) -> Problem:
    return Problem(f"{error.method} {error.name}", str(error.error), error.occurrences)
