"""Servers behind one small interface: started, found ready, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from tritonsmith_build.errors import SmithError

from bench.footprint import MARK, end
from bench.places import ROOT
from bench.roads import Road, triton_roads
from bench.waiting import until

START_SECONDS = 180.0
Value = TypeVar("Value")


@dataclass
class Live:
    """A running server."""

    process: subprocess.Popen[bytes]
    mark: str
    begun: float
    """When it was started, on ``time.perf_counter``."""
    roads: Mapping[str, Road]
    facts: dict[str, str] = field(default_factory=dict)
    """What it says of itself."""
    metrics: str = ""
    """Where it counts, for a Triton."""


Start = Callable[[Path], contextlib.AbstractContextManager[Live]]
"""Starts a server that writes to the given log, and ends it with the context."""


@contextlib.contextmanager
def spawned(
    command: Sequence[str], log: Path, *, group: bool, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
    """A process in a session of its own, both outputs in the log; none of what it starts is left afterwards."""
    mark = uuid4().hex
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {}), MARK: mark},
            start_new_session=True,
        )
    try:
        yield process, mark, begun
    finally:
        end(process, mark, group=group)


def tritonsmith(repository: Path, *, cache: bool = False, pipelines: Sequence[str] = ("embeddings",)) -> Start:
    """Starts ``tritonsmith serve`` on free ports."""

    @contextlib.contextmanager
    def start(log: Path) -> Iterator[Live]:
        ports = [f"--{name}-port=0" for name in ("http", "grpc", "metrics", "health")]
        command = [sys.executable, "-m", "tritonsmith_build", "serve", f"--repository={repository}", "--json", *ports]
        command += [f"--log={log.with_suffix('.triton.log')}", f"--pipelines={','.join(pipelines)}"]
        command += ["--cache" if cache else "--no-cache"]
        # Not the group: it asks Triton itself to end, after the last request.
        with spawned(command, log, group=False) as (process, mark, begun):
            said = _awaited(process, log, lambda: _ready_line(log))
            roads = {
                (road if name == pipelines[0] else f"{road} {name}"): made
                for name in pipelines
                for road, made in triton_roads(said, name).items()
            }
            metrics = f"http://127.0.0.1:{said['metrics']}/metrics"
            yield Live(process, mark, begun, roads, _triton_version(roads["http"].host), metrics)

    return start


def _ready_line(log: Path) -> dict[str, int] | None:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith('{"event": "ready"')]
    return dict(json.loads(lines[0])) if lines else None


def _triton_version(host: str) -> dict[str, str]:
    said = json.loads(fetched(host, "/v2") or b"{}")
    return {"triton": said.get("version", "")}


def answering(process: subprocess.Popen[bytes], log: Path, host: str, path: str) -> None:
    """Return when ``GET path`` answers 200. Raises SmithError where the process ends first or it takes too long."""
    _awaited(process, log, lambda: fetched(host, path))


def _awaited(process: subprocess.Popen[bytes], log: Path, look: Callable[[], Value | None]) -> Value:
    seen: list[Value] = []

    def looked() -> bool:
        value = look()
        seen.extend([] if value is None else [value])
        return bool(seen) or process.poll() is not None

    until(looked, limit=START_SECONDS)
    if seen:
        return seen[0]
    what = "is not ready yet" if process.poll() is None else f"ended with exit code {process.returncode} while starting"
    raise SmithError(f"{what}: {last_line(log)}", where=log)


def fetched(host: str, path: str) -> bytes | None:
    """The body of ``GET path`` where that answers 200."""
    connection = HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return body if reply.status == 200 else None


def last_line(log: Path) -> str:
    """The last that a log says, preferring what calls itself an error."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["nothing was written"])[-1][-300:]
