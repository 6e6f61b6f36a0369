"""From a repository to answers, until told to stop: what ``tritonsmith serve`` and a container's entry both do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tritonsmith_build.server.install import TritonInstall
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.preflight import check_shared_memory, pipelines_in
from tritonsmith_build.server.process import TritonServer
from tritonsmith_build.server.stopping import StopSignals

TARGETS = {"cpu": "cpu", "onnxruntime": "onnxruntime", "tensorrt": "host-tensorrt"}
"""By target, the name of the configurations that Triton is to prefer to ``config.pbtxt``."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to serve and how."""

    repository: Path
    ports: Ports
    pipelines: tuple[str, ...] = ()
    """All that are built, where none is named."""
    target: str = "cpu"
    cache: bool = True
    log: Path | None = None
    """None where Triton's own log goes where this process's output goes."""


@contextlib.contextmanager
def started(wanted: Wanted, say: Say, stop: StopSignals | None = None) -> Iterator[TritonServer]:
    """A server whose pipelines have all answered; says what it leaves out."""
    check_shared_memory()
    install = TritonInstall.found()
    found = pipelines_in(wanted.repository, wanted.target, install.backend_names, wanted.pipelines)
    for name, problem in found.not_ready.items():
        say(f"{name} is left out: {problem}")
    with TritonServer(
        install,
        wanted.repository,
        found.ready,
        wanted.ports,
        wanted.log,
        cache=wanted.cache,
        config_name=TARGETS[wanted.target],
        backend_options=found.backend_options,
    ) as server:
        say("starting Triton")
        server.wait_until_ready(stop=stop)
        yield server


def serve(wanted: Wanted, say: Say, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C, then let requests in flight finish. Raises SmithError where Triton ends by itself."""
    with (
        StopSignals() as stop,
        contextlib.suppress(KeyboardInterrupt),
        started(wanted, say, stop) as server,
    ):
        for line in [_as_json(server)] if as_json else _as_text(server):
            print(line, flush=True)  # noqa: T201 (what scripts wait for)
        server.wait(stop)
        say("finishing the requests in flight (Ctrl-C again to end at once)")


def default_log(ports: Ports) -> Path:
    """Where Triton's own log goes when nobody says."""
    return Path(".tritonsmith") / f"triton-{ports.http}.log"


def _as_json(server: TritonServer) -> str:
    ready = {"event": "ready", "pid": server.pid, "pipelines": list(server.pipelines), **asdict(server.ports)}
    return json.dumps({**ready, "log": str(server.log) if server.log else None})


def _as_text(server: TritonServer) -> list[str]:
    ports = server.ports
    places = {"gRPC": ports.grpc_url, "HTTP": ports.http_url, "metrics": ports.metrics_url, "log": server.log}
    return [
        f"ready: {', '.join(server.pipelines)}",
        *(f"  {what:<8} {where}" for what, where in places.items() if where),
    ]
