"""Whether a run held what its scenario asks."""

from __future__ import annotations

from dataclasses import dataclass

from load.scenario import Gates


@dataclass(frozen=True)
class Totals:
    """What came of a whole run; the latencies are of right answers alone."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def error_share(self) -> float:
        """Of all requests."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def requests_per_second(self) -> float:
        """Answered rightly, that is."""
        return (self.requests - self.errors) / self.seconds


@dataclass(frozen=True)
class Gate:
    """One limit and what it met."""

    name: str
    limit: float
    value: float
    holds: bool


_AT_LEAST = {"requests_per_second"}


def checked(gates: Gates, totals: Totals) -> list[Gate]:
    """Every gate that is asked. Where nothing was answered none holds."""
    limits = gates.model_dump(exclude_none=True)
    values = {name: float(getattr(totals, name)) for name in limits}
    answered = totals.requests > totals.errors
    return [
        Gate(name, limit, values[name], answered and (values[name] >= limit if name in _AT_LEAST else values[name] <= limit))
        for name, limit in limits.items()
    ]
