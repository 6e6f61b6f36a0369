"""Locust as a process, and a server of one's own to load."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"


@dataclass(frozen=True)
class Target:
    """Where to send the load."""

    url: str
    metrics_url: str
    pid: int | None = None
    """Of the process that serves, where it is one of this machine's."""


@contextlib.contextmanager
def own_server(repository: Path, pipelines: Sequence[str], *, protocol: str = "grpc", cache: bool = True) -> Iterator[Target]:
    """``tritonsmith serve`` for the run's time, on free ports. Raises SmithError where it does not come up."""
    command = [sys.executable, "-m", "tritonsmith_build", "serve", f"--repository={repository}", "--json"]
    command += [] if cache else ["--no-cache"]
    ports = [f"--{port}-port=0" for port in ("http", "grpc", "metrics")]
    process = subprocess.Popen([*command, *ports, f"--pipelines={','.join(pipelines)}"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SmithError("no server of its own came up", where=repository, fix="see the lines above, or give --url")
        said = json.loads(line)
        yield Target(f"{protocol}://127.0.0.1:{said[protocol]}", f"http://127.0.0.1:{said['metrics']}/metrics", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=120)


def locust(scenario: Path, target: Target, report: Path, *, seconds: float) -> int:
    """Run Locust without its web page for so many seconds; its exit code."""
    command = [
        *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--scenario", str(scenario), "--host", target.url, "--report", str(report)),
        *(["--metrics-url", target.metrics_url] if target.metrics_url else []),
    ]
    return subprocess.run(command, check=False, timeout=2 * seconds + 300).returncode
