"""What a run was, as one record: for the report, for machines, and for the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from load.counters import StepTimes
from load.gates import Gate, Totals
from load.recording import Window
from load.scenario import Scenario

LOOPS = {
    "closed": "closed loop: each user sends its next request when it is answered; latency with so many under way, "
    "not latency under an arrival rate",
    "open": "open loop: requests come by chance at a rate of their own, and latency counts from the moment one was due",
}


@dataclass(frozen=True)
class Row:
    """Requests of one name."""

    name: str
    requests: int
    errors: int
    requests_per_second: float
    mean_bytes: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float


@dataclass(frozen=True)
class Problem:
    """An error and how often it came."""

    name: str
    said: str
    times: int


@dataclass(frozen=True)
class Result:
    """All of a run."""

    scenario: Scenario
    url: str
    totals: Totals
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    gates: tuple[Gate, ...]
    windows: tuple[Window, ...]
    levels: tuple[Window, ...]
    """Of a ramp."""
    knee: Window | None
    """Of a ramp: the fewest users with nearly the best throughput."""
    steps: tuple[StepTimes, ...]
    """Triton's own figures; none where its metrics page did not answer."""
    ended: float
    """Unix time at which the users were told to stop."""
    generator_cores: float
    """Processor cores that this process used; near 1 it is the limit, for it runs on one."""

    @property
    def holds(self) -> bool:
        """Whether every gate does."""
        return all(gate.holds for gate in self.gates)

    @property
    def loop(self) -> str:
        """What the latencies mean."""
        return LOOPS[self.scenario.load.loop]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for machines."""
        content: Mapping[str, Any] = {
            name: value for name, value in asdict(self).items() if name not in ("scenario", "totals", "steps")
        }
        totals = {
            **asdict(self.totals),
            "error_share": self.totals.error_share,
            "requests_per_second": self.totals.requests_per_second,
        }
        steps = [{**asdict(step), "total": step.total} for step in self.steps]
        return {
            "scenario": self.scenario.model_dump(mode="json"),
            "loop": self.loop,
            "holds": self.holds,
            **content,
            "totals": totals,
            "steps": steps,
        }
