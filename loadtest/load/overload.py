"""Three times what a pipeline can do: what is answered, how quickly the rest is refused, and how soon it is over."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from tritonsmith.errors import OverloadedError
from tritonsmith.transport import Address, transport_to
from tritonsmith_build.errors import SmithError

from load.gates import Gate
from load.locusting import Target, locust
from load.memory import Watched
from load.probing import Probing, recovered_after, usual

TIMES = 3
"""Of the saturated throughput."""
_SATURATING = 48
"""Callers in a closed loop that a small server cannot keep up with."""
_STREAMS = 8
_REFUSED = OverloadedError.__name__
_QUIET_SECONDS = 3.0
_AFTER_SECONDS = 6.0


@dataclass(frozen=True)
class Overload:
    """The figures of one run."""

    saturated_per_second: float
    offered_per_second: float
    answered_per_second: float
    refused: int
    other_errors: int
    answered_p99_ms: float
    refused_p99_ms: float
    queue_ms: float
    """How long a full queue takes, or a request may wait in it, whichever is less."""
    usual_ms: float
    recovered_seconds: float | None
    memory_share: float
    """Of the server's memory after the first quarter, at the end."""

    def gates(self) -> list[Gate]:
        """What must hold."""
        recovered = float("inf") if self.recovered_seconds is None else self.recovered_seconds
        return [
            _at_least("answered / saturated", 0.9, self.answered_per_second / self.saturated_per_second),
            _at_most("answered p99 / queue", 2.0, self.answered_p99_ms / self.queue_ms),
            _at_most("refused p99 ms", 50.0, self.refused_p99_ms),
            _at_most("other errors", 0.0, self.other_errors),
            _at_most("recovered after s", 2.0, recovered),
            _at_most("memory at the end / at a quarter", 1.05, self.memory_share),
        ]


def _at_least(name: str, limit: float, value: float) -> Gate:
    return Gate(name, limit, value, value >= limit)


def _at_most(name: str, limit: float, value: float) -> Gate:
    return Gate(name, limit, value, value <= limit)


def overload(target: Target, pipeline: str, folder: Path, *, seconds: float) -> Overload:
    """Saturate a server of this machine, overload it, and wait for rest; ``folder`` keeps both reports."""
    assert target.pid is not None
    closed = {"seconds": seconds, "users": _SATURATING}
    saturated = _loaded(target, pipeline, folder / "saturated", closed)["totals"]["requests_per_second"]
    offered = TIMES * saturated
    opened = {"seconds": seconds, "users": _STREAMS, "loop": "open", "rate": offered}
    with Probing(target.url, pipeline) as probing, Watched(target.pid) as memory:
        time.sleep(_QUIET_SECONDS)
        before = usual(probing.probes)
        begun = time.time()
        result = _loaded(target, pipeline, folder / "overloaded", opened)
        end = result["ended"]
        time.sleep(_AFTER_SECONDS)
    rows = {row["name"].rpartition("] ")[2]: row for row in result["rows"]}
    refused = rows.get(_REFUSED, {"requests": 0, "p99_ms": 0.0})
    totals = result["totals"]
    return Overload(
        saturated_per_second=saturated,
        offered_per_second=totals["requests"] / totals["seconds"],
        answered_per_second=totals["requests_per_second"],
        refused=refused["requests"],
        other_errors=totals["errors"] - refused["requests"],
        answered_p99_ms=totals["p99_ms"],
        refused_p99_ms=refused["p99_ms"],
        queue_ms=_queue_ms(target, pipeline, saturated),
        usual_ms=1000 * before,
        recovered_seconds=recovered_after(probing.probes, end, 2 * before),
        memory_share=memory.near(end) / memory.near(begun + (end - begun) / 4),
    )


def _loaded(target: Target, pipeline: str, folder: Path, load: dict[str, Any]) -> dict[str, Any]:
    """The figures of a scenario of one pipeline, whatever its limits say."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = folder / "scenario.toml"
    scenario.write_text(tomli_w.dumps({"load": load, "pipelines": [{"name": pipeline}]}), encoding="utf-8")
    if locust(scenario, target, folder, seconds=load["seconds"]) not in (0, 1):
        raise SmithError("the load could not be sent", where=pipeline, fix="see the lines above")
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content


def _queue_ms(target: Target, pipeline: str, per_second: float) -> float:
    wire = transport_to(Address.parse(target.url, timeout=_QUIET_SECONDS))
    policy = wire.config(f"{pipeline}_engine", _QUIET_SECONDS)["dynamic_batching"]["default_queue_policy"]
    wire.close()
    return min(1000 * int(policy["max_queue_size"]) / per_second, int(policy["default_timeout_microseconds"]) / 1000)
