"""Faults, each with what must hold after it; and one of them done to a server under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import psutil
from load.serving import Serving
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.stubs import stubs_of

from faults.crowd import RIGHT, WRONG, Crowd
from faults.readiness import Readiness

_BEFORE = 1.0
"""Seconds of load before the fault: somebody must be answered, and somebody on the way."""
_AFTER = 1.0
"""And when all is well again."""
_PATIENCE = 60.0
_POLL = 0.02


@dataclass(frozen=True)
class Drill:
    """One fault."""

    name: str
    do: Callable[[Serving], None]
    within: float
    """Seconds until a new request must be answered rightly again."""


@dataclass(frozen=True)
class Outcome:
    """What one fault did."""

    drill: str
    answered_after: float
    """Seconds from the fault to the first right answer to a request that was sent after it."""
    not_ready_after: float | None
    """Seconds until ``/readyz`` said no, None where it never did."""
    ready_after: float | None
    """And until it said yes again."""
    failed: int
    """Requests that ended with an error."""
    wrong: int
    right: int


def triton_of(server: Serving) -> int:
    """The server's process, a new one after each restart."""
    for child in psutil.Process(server.process.pid).children():
        if child.name().startswith("tritonserver") and child.status() != psutil.STATUS_ZOMBIE:
            return child.pid
    raise SmithError("it has no process", where="Triton")


def stub_of(triton: int, model: str) -> int:
    """A process of a step's: the youngest, for one that was unloaded may take a while to end."""
    found = [psutil.Process(stub.pid) for stub in stubs_of(triton) if stub.model == model]
    return max(found, key=psutil.Process.create_time).pid


def _to_step(server: Serving, *, model: str, what: signal.Signals) -> None:
    os.kill(stub_of(triton_of(server), model), what)


def _to_triton(server: Serving, *, what: signal.Signals) -> None:
    os.kill(triton_of(server), what)


def drills(pipeline: str, steps: Sequence[str]) -> list[Drill]:
    """For a pipeline of these steps, its first and last among them."""
    kill, halt = signal.SIGKILL, signal.SIGSTOP
    return [
        *(Drill(f"kill -9 of {step}", partial(_to_step, model=f"{pipeline}_{step}", what=kill), 5.0) for step in steps),
        *(Drill(f"{step} hangs (SIGSTOP)", partial(_to_step, model=f"{pipeline}_{step}", what=halt), 5.0) for step in steps),
        Drill("kill -9 of Triton", partial(_to_triton, what=kill), 10.0),
        Drill("Triton hangs (SIGSTOP)", partial(_to_triton, what=halt), 10.0),
    ]


def held(drill: Drill, server: Serving, pipeline: str, *, clients: int) -> Outcome:
    """Do it under load, and wait until the server answers and is ready. Raises SmithError where that takes a minute."""
    with Crowd(server.url("grpc"), pipeline, clients) as crowd, Readiness(server.url("health")) as readiness:
        time.sleep(_BEFORE)
        drill.do(server)
        moment = time.monotonic()
        answered, ready = _recovered(drill, moment, crowd, readiness)
        time.sleep(_AFTER)
    since = [asked for asked in crowd.asked if asked.ended > moment]
    return Outcome(
        drill.name,
        answered,
        readiness.first(False, moment),
        ready,
        failed=sum(asked.outcome not in (RIGHT, WRONG) for asked in since),
        wrong=sum(asked.outcome == WRONG for asked in since),
        right=sum(asked.outcome == RIGHT for asked in since),
    )


def _recovered(drill: Drill, moment: float, crowd: Crowd, readiness: Readiness) -> tuple[float, float | None]:
    """When a request sent after the fault was answered rightly, and when readiness came back."""
    while time.monotonic() < moment + _PATIENCE:
        answers = [asked.ended for asked in crowd.asked if asked.sent > moment and asked.outcome == RIGHT]
        down = readiness.first(False, moment)
        ready = readiness.first(True, moment + down) if down is not None else None
        if answers and ready is not None and down is not None:
            return min(answers) - moment, down + ready
        if answers and down is None and time.monotonic() > moment + 5 * _AFTER:
            return min(answers) - moment, None
        time.sleep(_POLL)
    raise SmithError(f"not answering {_PATIENCE:g} s later", where=drill.name)
