"""One level of a sweep: what its callers saw and what Triton counted meanwhile; and the knee among several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tritonsmith_build.profiling.loading import Load
from tritonsmith_build.profiling.statistics import Counters, Step, StepUse, steps_ms, use_of

KNEE = 0.95
"""Share of the best throughput from which more in flight buys only waiting."""
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Level:
    """The figures of one concurrency; latencies are None where nothing was answered."""

    concurrency: int
    seconds: float
    requests: int
    uncounted_requests: int
    requests_per_second: float
    items_per_second: float
    latency_ms: Mapping[str, float | None]
    errors: Mapping[str, int]
    error_messages: Mapping[str, str]
    client_loop_share: float
    client_cores: float
    server_answers: int
    """What Triton answered in the window, to whomever."""
    cache_hit_share: float
    steps: tuple[StepUse, ...]
    steps_ms: float
    """Of the mean answer's latency, the part in the steps; one from the cache spends nothing there."""
    outside_ms: float | None
    """The rest: network, protocol, the ensemble's scheduling, the client."""


Snapshot = tuple[Counters, ...]
"""Of the ensemble first, then of each of its steps."""


def level_of(load: Load[Snapshot], batch: int, pipeline: str, steps: Sequence[Step]) -> Level:
    """Put together what was seen at both ends."""
    names = (pipeline, *(step.model for step in steps))
    before, after = load.snapshots
    ensemble, *counted = [late.since(early, model=name) for name, early, late in zip(names, before, after, strict=True)]
    latencies = [1000 * seconds for seconds in load.latencies]
    mean = fmean(latencies) if latencies else None
    uses = tuple(use_of(step, use, load.seconds) for step, use in zip(steps, counted, strict=True))
    cached = ensemble.cached / ensemble.requests if ensemble.requests else 0.0
    in_steps = steps_ms(uses, cached)
    return Level(
        concurrency=load.concurrency,
        seconds=load.seconds,
        requests=len(latencies),
        uncounted_requests=load.uncounted,
        requests_per_second=len(latencies) / load.seconds,
        items_per_second=batch * len(latencies) / load.seconds,
        latency_ms={"mean": mean} | {f"p{share}": percentile(latencies, share) for share in PERCENTILES},
        errors=dict(load.errors),
        error_messages=load.said,
        client_loop_share=load.loop_share,
        client_cores=load.cores,
        server_answers=ensemble.requests,
        cache_hit_share=cached,
        steps=uses,
        steps_ms=in_steps,
        outside_ms=None if mean is None else mean - in_steps,
    )


def percentile(values: Sequence[float], share: int) -> float | None:
    """The smallest value that ``share`` percent of all do not exceed, None of none."""
    return float(np.percentile(values, share, method="inverted_cdf")) if values else None


def knee_of(levels: Sequence[Level]) -> Level | None:
    """The smallest concurrency that has nearly the best throughput, None where nothing was answered."""
    best = max((level.requests_per_second for level in levels), default=0.0)
    by_size = sorted(levels, key=lambda level: level.concurrency)
    return next((level for level in by_size if level.requests and level.requests_per_second >= KNEE * best), None)
