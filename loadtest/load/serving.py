"""``tritonsmith serve`` as a process of one's own, on free ports."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError

PORTS = ("http", "grpc", "metrics", "health")
_END_SECONDS = 120


@dataclass(frozen=True)
class Serving:
    """A server that is ready."""

    process: subprocess.Popen[str]
    """The one that supervises."""
    said: dict[str, Any]
    """What it printed when it was ready."""

    def url(self, protocol: str) -> str:
        """``grpc`` as the client takes it; ``http``, ``metrics`` and ``health`` without a page."""
        scheme = "grpc" if protocol == "grpc" else "http"
        return f"{scheme}://127.0.0.1:{self.said[protocol]}"


@contextlib.contextmanager
def serving(repository: Path, pipelines: Sequence[str], *options: str) -> Iterator[Serving]:
    """Serve until the context ends. Raises SmithError where no server comes up."""
    command = [sys.executable, "-m", "tritonsmith_build", "serve", f"--repository={repository}", "--json"]
    ports = [f"--{port}-port=0" for port in PORTS]
    process = subprocess.Popen(
        [*command, *ports, f"--pipelines={','.join(pipelines)}", *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SmithError("no server of its own came up", where=repository, fix="see the lines above, or give --url")
        yield Serving(process, json.loads(line))
    finally:
        process.terminate()
        process.wait(timeout=_END_SECONDS)
