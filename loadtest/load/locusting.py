"""Locust as a process, and a server of one's own to load."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from tritonsmith_build.errors import SmithError

from load.apart import held_to
from load.serving import serving

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"


@dataclass(frozen=True)
class Target:
    """Where to send the load."""

    url: str
    metrics_url: str
    pid: int | None = None
    """Of the process that serves, where it is one of this machine's."""


@contextlib.contextmanager
def own_server(
    repository: Path,
    pipelines: Sequence[str],
    *,
    protocol: str = "grpc",
    cache: bool = True,
    cores: frozenset[int] | None = None,
) -> Iterator[Target]:
    """``tritonsmith serve`` for the run's time, on free ports and these cores. Raises SmithError where it does not come up."""
    options = [] if cache else ["--no-cache"]
    with contextlib.ExitStack() as stack:
        with held_to(cores) if cores else contextlib.nullcontext():
            server = stack.enter_context(serving(repository, pipelines, *options))
        yield Target(server.url(protocol), f"{server.url('metrics')}/metrics", server.process.pid)


def locust(scenario: Path, target: Target, report: Path, *, seconds: float) -> int:
    """Run Locust without its web page for so many seconds; its exit code."""
    command = [
        *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--scenario", str(scenario), "--host", target.url, "--report", str(report)),
        *(["--metrics-url", target.metrics_url] if target.metrics_url else []),
    ]
    return subprocess.run(command, check=False, timeout=2 * seconds + 300).returncode


def loaded(target: Target, pipeline: str, folder: Path, load: dict[str, Any]) -> dict[str, Any]:
    """The figures of a scenario of one pipeline, whatever its limits say. Raises SmithError where no load could be sent."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = folder / "scenario.toml"
    scenario.write_text(tomli_w.dumps({"load": load, "pipelines": [{"name": pipeline}]}), encoding="utf-8")
    if locust(scenario, target, folder, seconds=load["seconds"]) not in (0, 1):
        raise SmithError("the load could not be sent", where=pipeline, fix="see the lines above")
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content
