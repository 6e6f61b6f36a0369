"""Three times what a pipeline can do: what is answered, how quickly the rest is refused, and how soon it is over."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from tritonsmith.errors import OverloadedError
from tritonsmith.transport import Address, transport_to
from tritonsmith_build.errors import SmithError
from tritonsmith_build.profiling.levels import percentile

from load.gates import Gate
from load.locusting import Target, locust
from load.memory import Watched
from load.probing import Probing, recovered_after, usual

TIMES = 3
"""Of the saturated throughput."""
_SATURATING = 48
"""Callers in a closed loop that a small server cannot keep up with."""
_STREAMS = 8
_QUEUE = re.compile(r"max_queue_size: \d+")
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
    """Of callers beside the load, whose clients are not busy with it."""
    max_queue_size: int
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


def saturated(target: Target, pipeline: str, folder: Path, *, seconds: float) -> float:
    """How many requests a second a server answers at most; ``folder`` keeps the report."""
    closed = {"seconds": seconds, "users": _SATURATING}
    rate: float = loaded(target, pipeline, folder / "saturated", closed)["totals"]["requests_per_second"]
    return rate


def with_queue(repository: Path, pipeline: str, requests: int, folder: Path) -> Path:
    """A copy of a repository, its large files linked, in which so many requests may wait at each of a pipeline's steps."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(repository, folder, copy_function=os.link)
    for file in folder.glob(f"{pipeline}_*/**/*.pbtxt"):
        text = file.read_text(encoding="utf-8")
        file.unlink()  # a link, which would change the original
        file.write_text(_QUEUE.sub(f"max_queue_size: {requests}", text), encoding="utf-8")
    return folder


def overload(target: Target, pipeline: str, saturated: float, folder: Path, *, seconds: float) -> Overload:
    """Send a server of this machine three times what saturates it, and wait for rest; ``folder`` keeps the report."""
    assert target.pid is not None
    offered = TIMES * saturated
    opened = {"seconds": seconds, "users": _STREAMS, "loop": "open", "rate": offered}
    with Probing(target.url, pipeline) as probing, Watched(target.pid) as memory:
        time.sleep(_QUIET_SECONDS)
        before = usual(probing.probes)
        begun = time.time()
        result = loaded(target, pipeline, folder / "overloaded", opened)
        end = result["ended"]
        time.sleep(_AFTER_SECONDS)
    rows = {row["name"].rpartition("] ")[2]: row for row in result["rows"]}
    refused = rows[_REFUSED]["requests"] if _REFUSED in rows else 0
    told = [1000 * (one.ended - one.sent) for one in probing.probes if begun <= one.sent < end and one.error is OverloadedError]
    totals, queue = result["totals"], _queue(target, pipeline)
    return Overload(
        saturated_per_second=saturated,
        offered_per_second=totals["requests"] / totals["seconds"],
        answered_per_second=totals["requests_per_second"],
        refused=refused,
        other_errors=totals["errors"] - refused,
        answered_p99_ms=totals["p99_ms"],
        refused_p99_ms=percentile(told, 99) or math.inf,
        max_queue_size=queue.requests,
        queue_ms=min(1000 * queue.requests / saturated, queue.timeout_ms),
        usual_ms=1000 * before,
        recovered_seconds=recovered_after(probing.probes, end, 2 * before),
        memory_share=memory.near(end) / memory.near(begun + (end - begun) / 4),
    )


def loaded(target: Target, pipeline: str, folder: Path, load: dict[str, Any]) -> dict[str, Any]:
    """The figures of a scenario of one pipeline, whatever its limits say. Raises SmithError where no load could be sent."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = folder / "scenario.toml"
    scenario.write_text(tomli_w.dumps({"load": load, "pipelines": [{"name": pipeline}]}), encoding="utf-8")
    if locust(scenario, target, folder, seconds=load["seconds"]) not in (0, 1):
        raise SmithError("the load could not be sent", where=pipeline, fix="see the lines above")
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True)
class _Queue:
    requests: int
    timeout_ms: float


def _queue(target: Target, pipeline: str) -> _Queue:
    """Where requests wait, which is at the engine."""
    wire = transport_to(Address.parse(target.url, timeout=_QUIET_SECONDS))
    policy = wire.config(f"{pipeline}_engine", _QUIET_SECONDS)["dynamic_batching"]["default_queue_policy"]
    wire.close()
    return _Queue(int(policy["max_queue_size"]), int(policy["default_timeout_microseconds"]) / 1000)
