"""Triton's counters of a model: two snapshots of them make what happened in between.

Triton counts in two ways. ``inference_stats`` adds up what requests experienced: each request of a batch adds the whole
batch's duration. ``batch_stats`` counts executions, each one once. So what a request waits for is read from the first,
and how busy a model was from the second. Failures are the client's to count: Triton counts a refused request of an ensemble
twice, and at none of its steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from tritonsmith_build.errors import SmithError

LATEST = -1
"""How an ensemble's step says that it takes the model's latest version."""
_COMPUTING = ("compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Step:
    """One model of an ensemble, as the served configurations have it."""

    model: str
    version: int
    instances: int
    max_batch_size: int
    max_queue_size: int = 0
    """Requests that may wait; 0 where there is no end."""


@dataclass(frozen=True)
class Counters:
    """What Triton has counted of one version of a model since it was loaded, times in nanoseconds."""

    requests: int = 0
    cached: int = 0
    rows: int = 0
    executions: int = 0
    queue: int = 0
    compute_input: int = 0
    compute_infer: int = 0
    compute_output: int = 0
    executing: int = 0
    """By executions, not by requests: the time in which its instances worked."""

    @property
    def experienced(self) -> int:
        """What the requests spent here, one after another."""
        return self.queue + self.compute_input + self.compute_infer + self.compute_output

    def since(self, before: Counters, *, model: str) -> Counters:
        """The difference to an earlier snapshot. Raises SmithError where the model was loaded again in between."""
        difference = Counters(*(late - early for late, early in zip(astuple(self), astuple(before), strict=True)))
        if min(astuple(difference)) < 0:
            raise SmithError("was loaded again while it was measured", where=model, fix="run the command again")
        return difference


@dataclass(frozen=True)
class StepUse:
    """What a step did in a window: means by request in milliseconds, the rest by the clock."""

    model: str
    version: int
    instances: int
    requests: int
    rows: int
    executions: int
    executions_per_second: float
    batch_rows: float
    busy_share: float
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float
    request_ms: float
    """All four together."""


def ensemble_steps(config: Mapping[str, Any], model: str) -> list[tuple[str, int]]:
    """Model and version of each step in its order; a model that is no ensemble is its own only step."""
    steps = config.get("ensemble_scheduling", {}).get("step", [])
    named = [(step["model_name"], int(step.get("model_version", LATEST))) for step in steps]
    return list(dict.fromkeys(named)) or [(model, LATEST)]


def step_of(model: str, version: int, config: Mapping[str, Any]) -> Step:
    """From the served configuration, in which Triton has filled in each group's GPUs; a group has ``count`` on each."""
    groups = config.get("instance_group", [])
    instances = sum(int(group.get("count", 1)) * max(1, len(group.get("gpus", []))) for group in groups)
    policy = config.get("dynamic_batching", {}).get("default_queue_policy", {})
    sizes = int(config.get("max_batch_size", 0)), int(policy.get("max_queue_size", 0))
    return Step(model, version, max(1, instances), *sizes)


def counters_of(reply: Mapping[str, Any], version: int = LATEST) -> Counters:
    """One version's counters; all are 0 where it has not been loaded yet.

    gRPC's JSON writes whole numbers as text and leaves zeros out, HTTP's does neither.
    """
    rows = {int(row.get("version") or 1): row for row in reply.get("model_stats", [])}
    row = rows.get(max(rows, default=LATEST) if version == LATEST else version, {})
    by_request = row.get("inference_stats", {})
    executing = sum(_ns(batch, name) for batch in row.get("batch_stats", []) for name in _COMPUTING)
    return Counters(
        requests=_count(by_request, "success"),
        cached=_count(by_request, "cache_hit"),
        rows=int(row.get("inference_count", 0)),
        executions=int(row.get("execution_count", 0)),
        queue=_ns(by_request, "queue"),
        compute_input=_ns(by_request, "compute_input"),
        compute_infer=_ns(by_request, "compute_infer"),
        compute_output=_ns(by_request, "compute_output"),
        executing=executing,
    )


def _count(durations: Mapping[str, Any], name: str) -> int:
    return int(durations.get(name, {}).get("count", 0))


def _ns(durations: Mapping[str, Any], name: str) -> int:
    return int(durations.get(name, {}).get("ns", 0))


def use_of(step: Step, counted: Counters, seconds: float) -> StepUse:
    """What a step did in a window of some seconds."""
    return StepUse(
        model=step.model,
        version=step.version,
        instances=step.instances,
        requests=counted.requests,
        rows=counted.rows,
        executions=counted.executions,
        executions_per_second=counted.executions / seconds,
        batch_rows=_ratio(counted.rows, counted.executions),
        busy_share=counted.executing / 1e9 / seconds / step.instances,
        queue_ms=_ratio(counted.queue, counted.requests) / 1e6,
        input_ms=_ratio(counted.compute_input, counted.requests) / 1e6,
        infer_ms=_ratio(counted.compute_infer, counted.requests) / 1e6,
        output_ms=_ratio(counted.compute_output, counted.requests) / 1e6,
        request_ms=_ratio(counted.experienced, counted.requests) / 1e6,
    )


def steps_ms(steps: Sequence[StepUse], cached: float) -> float:
    """What the mean answer spent in all steps, where ``cached`` is the share that came from the ensemble's cache instead.

    From each step's own mean: at a window's edges, and where requests are refused half-way, the steps' counts differ.
    """
    return (1 - cached) * sum(step.request_ms for step in steps)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
