"""``tritonsmith serve``: from a repository to answers, until told to stop."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tritonsmith_build.server.preflight import Ports, check_shared_memory, pipelines_in
from tritonsmith_build.server.process import TritonServer
from tritonsmith_build.server.stopping import StopSignals


@contextlib.contextmanager
def started(
    repository: Path,
    wanted: Sequence[str],
    ports: Ports,
    *,
    log: Path | None,
    cache: bool,
    console: Console,
    stop: StopSignals | None = None,
) -> Iterator[TritonServer]:
    """A server whose pipelines have all answered; says what it serves and what it leaves out."""
    check_shared_memory()
    found = pipelines_in(repository, wanted)
    for name, problem in found.not_ready.items():
        console.print(f"{name} is left out: {problem}", highlight=False, soft_wrap=True)
    log = log or Path(".tritonsmith") / f"triton-{ports.http}.log"
    with TritonServer(repository, found.ready, ports, log, cache=cache) as server:
        with console.status("starting Triton"):
            server.wait_until_ready(stop=stop)
        yield server


def serve(
    repository: Path,
    wanted: Sequence[str],
    ports: Ports,
    *,
    log: Path | None,
    cache: bool,
    as_json: bool,
    console: Console,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then let requests in flight finish. Raises SmithError where Triton ends by itself."""
    with (
        StopSignals() as stop,
        contextlib.suppress(KeyboardInterrupt),
        started(repository, wanted, ports, log=log, cache=cache, console=console, stop=stop) as server,
    ):
        _say_ready(server, as_json=as_json, console=console)
        server.wait(stop)
        console.print("finishing the requests in flight (Ctrl-C again to end at once)")


def _say_ready(server: TritonServer, *, as_json: bool, console: Console) -> None:
    ports = server.ports
    if as_json:
        ready = {"event": "ready", "pid": server.pid, "pipelines": list(server.pipelines), **asdict(ports)}
        print(json.dumps({**ready, "log": str(server.log)}), flush=True)  # noqa: T201 (the machine's line)
        return
    console.print(f"ready: {', '.join(server.pipelines)}", style="bold", highlight=False)
    for what, where in (
        ("gRPC", ports.grpc_url),
        ("HTTP", ports.http_url),
        ("metrics", ports.metrics_url),
        ("log", str(server.log)),
    ):
        console.print(f"  {what:<8} {where}", highlight=False, soft_wrap=True)
