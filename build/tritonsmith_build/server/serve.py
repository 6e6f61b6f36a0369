"""From a repository to answers, until told to stop: what ``tritonsmith serve`` and a container's entry both do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tritonsmith_build.deployment.settle import settle
from tritonsmith_build.server.endpoints import Endpoints, Status
from tritonsmith_build.server.events import Events, Keep
from tritonsmith_build.server.install import TritonInstall
from tritonsmith_build.server.journal import Journal, Lines
from tritonsmith_build.server.keys import admin_key
from tritonsmith_build.server.otlp import Otlp
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.preflight import Found, check_shared_memory, pipelines_in
from tritonsmith_build.server.probing import Probe
from tritonsmith_build.server.process import TritonServer
from tritonsmith_build.server.stopping import StopSignals
from tritonsmith_build.server.supervisor import Rules, Supervisor
from tritonsmith_build.server.tls import Tls

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
    rules: Rules = field(default_factory=Rules)
    key_file: Path | None = None
    """With the key to what is no caller's; where there is none, everybody may load and unload."""
    tls: Tls | None = None
    """Of gRPC."""
    watch: bool = True
    """Whether the steps look at what passes."""
    otlp: Otlp | None = None
    """Where traces go."""
    lines: Lines | None = None
    """The log of requests."""

    def look(self, install: TritonInstall) -> Found:
        """The pipelines that can be served now. Raises SmithError where there are none."""
        settle(self.repository)
        return pipelines_in(self.repository, self.target, install.backend_names, self.pipelines)


@contextlib.contextmanager
def started(
    wanted: Wanted, say: Say, stop: StopSignals | None = None, journal: Journal | None = None
) -> Iterator[TritonServer]:
    """A server whose pipelines have all answered; says what it leaves out."""
    check_shared_memory()
    install = TritonInstall.found()
    found = wanted.look(install)
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
        key=admin_key(wanted.key_file) if wanted.key_file else "",
        tls=wanted.tls,
        otlp=wanted.otlp,
        steps={"TRITONSMITH_WATCH": str(int(wanted.watch)), **(journal.environment if journal else {})},
    ) as server:
        say("starting Triton")
        server.wait_until_ready(stop=stop)
        yield server


def serve(wanted: Wanted, say: Say, keep: Keep, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C, then let requests in flight finish; what happens meanwhile goes to ``keep``.

    Raises SmithError where the server cannot be started, or cannot be kept answering.
    """
    if not wanted.ports.loopback:
        what = "HTTP" if wanted.tls else "gRPC and HTTP"
        say(f"{what} on {wanted.ports.host} without TLS: whoever reaches it can ask, and read along; put a proxy before it")
    events = Events(keep)
    status = Status(events)
    with (
        Endpoints(wanted.ports.host, wanted.ports.health, status, events),
        StopSignals() as stop,
        contextlib.suppress(KeyboardInterrupt),
        Journal(wanted.lines) if wanted.lines else contextlib.nullcontext() as journal,
        started(wanted, say, stop, journal) as server,
    ):
        for name in server.pipelines:
            status.set(name)
        probe = Probe(wanted.ports.http_url, wanted.repository, wanted.target, wanted.rules.timeout)
        supervisor = Supervisor(
            server,
            probe,
            wanted.rules,
            events,
            status,
            found=lambda: wanted.look(TritonInstall.found()),
            seen=journal.serves if journal else lambda _: None,
        )
        for line in [_as_json(server)] if as_json else _as_text(server):
            print(line, flush=True)  # noqa: T201 (what scripts wait for)
        supervisor.run(stop)
        status.keep({})  # not ready: the requests in flight are the last
        say("finishing the requests in flight (Ctrl-C again to end at once)")


def default_log(ports: Ports) -> Path:
    """Where Triton's own log goes when nobody says."""
    return Path(".tritonsmith") / f"triton-{ports.http}.log"


def events_beside(log: Path) -> Path:
    """Where what happens to the server is written down, beside Triton's own log."""
    return log.with_suffix(".events.jsonl")


def requests_beside(log: Path) -> Path:
    """Where lines about requests are written, beside Triton's own log."""
    return log.with_suffix(".requests.jsonl")


def _as_json(server: TritonServer) -> str:
    ready = {"event": "ready", "pid": server.pid, "pipelines": list(server.pipelines), **asdict(server.ports)}
    return json.dumps({**ready, "log": str(server.log) if server.log else None})


def _as_text(server: TritonServer) -> list[str]:
    ports = server.ports
    places = {
        "gRPC": ports.grpc_url,
        "HTTP": ports.http_url,
        "metrics": ports.metrics_url,
        "health": f"{ports.health_url}/readyz",
        "log": server.log,
    }
    return [
        f"ready: {', '.join(server.pipelines)}",
        *(f"  {what:<8} {where}" for what, where in places.items() if where),
    ]
