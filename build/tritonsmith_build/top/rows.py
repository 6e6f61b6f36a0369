"""What each pipeline did between two looks at the metrics page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tritonsmith_build.top.page import Page

_TWICE = 2
"""So often does Triton 2.51 count a pipeline's failure."""
_LATE = 1.0
"""Seconds after which a step tells of a caller's mistake that Triton has counted as a failure at once."""
_TIMES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Row:
    """One pipeline. What cannot be said is None: a mean of nothing, the rows of a batch where none was run."""

    pipeline: str
    answered: float
    """A second, as all rates are."""
    failed: float
    """Not counting callers' mistakes, nor as many as the steps may not have told of yet."""
    refused: float
    """Callers' mistakes."""
    p50_ms: float | None
    """Of the server's last minutes."""
    p99_ms: float | None
    waiting: int
    """Requests, at the step where most wait."""
    batch: float | None
    """Rows that the engine computed at once, in the mean."""
    cached: float | None
    """Share of requests that the response cache answered."""
    steps: Mapping[str, float]
    """Each step's share of the time that requests spent at steps, waiting included."""
    drift: Mapping[str, float]
    """By feature: how much of its limit it is, of the measure that has most; over 1 is a drift."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def rows(before: Page, now: Page) -> list[Row]:
    """A row a pipeline."""
    return [_row(pipeline, before, now) for pipeline in now.pipelines]


def _row(pipeline: str, before: Page, now: Page) -> Row:
    steps = now.steps(pipeline)

    def risen(name: str, **labels: Any) -> float:
        # A server that was started anew counts from zero.
        new, old = now.sum(name, **labels), before.sum(name, **labels)
        return new - old if new >= old else new

    def rate(name: str, **labels: Any) -> float:
        return risen(name, **labels) / max(now.at - before.at, 1e-9)

    refused = rate("tritonsmith_requests", model=steps, outcome="refused")
    untold = refused * _LATE / max(now.at - before.at, _LATE)
    failed = rate("nv_inference_request_failure", model=pipeline) / _TWICE - refused - untold
    spent = {step: sum(risen(f"nv_inference_{part}_duration_us", model=step) for part in _TIMES) for step in steps}
    engines = [step for step in steps if step.endswith("_engine")]
    hits, misses = (risen(f"nv_cache_num_{kind}_per_model", model=f"{pipeline}_cached") for kind in ("hits", "misses"))
    return Row(
        pipeline=pipeline,
        answered=round(rate("nv_inference_request_success", model=pipeline), 2),
        failed=round(max(0.0, failed), 2),
        refused=round(refused, 2),
        p50_ms=_milliseconds(now, pipeline, "0.5"),
        p99_ms=_milliseconds(now, pipeline, "0.99"),
        waiting=int(max([now.sum("nv_inference_pending_request_count", model=step) for step in steps], default=0)),
        batch=_share(risen("nv_inference_count", model=engines), risen("nv_inference_exec_count", model=engines), 1),
        cached=_share(hits, hits + misses, 3),
        steps={
            step.removeprefix(f"{pipeline}_"): share for step in steps if (share := _share(spent[step], sum(spent.values()), 3))
        },
        drift=_drift(now, steps),
    )


def _milliseconds(page: Page, pipeline: str, quantile: str) -> float | None:
    found = [value for _, value in page.of("nv_inference_request_summary_us", model=pipeline, quantile=quantile)]
    known = [value for value in found if not math.isnan(value)]
    return round(max(known) / 1e3, 2) if known else None


def _share(part: float, whole: float, digits: int) -> float | None:
    return round(part / whole, digits) if whole else None


def _drift(page: Page, steps: list[str]) -> dict[str, float]:
    limits = {tuple(sorted(labels.items())): value for labels, value in page.of("tritonsmith_drift_limit")}
    found: dict[str, float] = {}
    for labels, value in page.of("tritonsmith_drift"):
        limit = limits.get(tuple(sorted(labels.items())))
        if labels["model"] in steps and limit:
            found[labels["feature"]] = max(found.get(labels["feature"], 0.0), round(value / limit, 2))
    return found
