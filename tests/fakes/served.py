"""A real Triton server, started through the command a user would type."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from tritonsmith_build.build_joined import build
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.progress import Progress
from tritonsmith_build.server.keys import read_key
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.tables import Precision

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
UNASKED = "--canary-every=3600"
"""For tests that count requests: a supervisor's own count too."""


@dataclass(frozen=True)
class Served:
    """A running ``tritonsmith serve``."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    @property
    def grpc(self) -> str:
        return f"grpc://127.0.0.1:{self.said['grpc']}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.said['http']}"

    @property
    def metrics(self) -> str:
        return f"http://127.0.0.1:{self.said['metrics']}/metrics"

    @property
    def health(self) -> str:
        """The supervisor's address."""
        return f"http://127.0.0.1:{self.said['health']}"

    @property
    def key(self) -> str:
        return read_key(self.log.with_suffix(".key"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the supervisor saw and did, of every server that had this log."""
        return read_events(self.log)

    @property
    def log(self) -> Path:
        return Path(self.said["log"])

    @property
    def requests(self) -> Path:
        """The log of requests."""
        return self.log.with_suffix(".requests.jsonl")

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=60)


def command(repository: Path, log: Path, *options: str) -> list[str]:
    ports = [f"--{name}-port=0" for name in ("http", "grpc", "metrics", "health")]
    return [
        sys.executable,
        "-m",
        "tritonsmith_build",
        "serve",
        f"--repository={repository}",
        f"--log={log}",
        "--json",
        f"--admin-key-file={log.with_suffix('.key')}",
        *ports,
        *options,
    ]


def read_events(log: Path) -> list[dict[str, Any]]:
    file = log.with_suffix(".events.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextlib.contextmanager
def serving(repository: Path, log: Path, *options: str, cwd: Path | None = None, faults: bool = False) -> Iterator[Served]:
    """Serve until the context ends; the exit code of a server that was asked to stop is 0.

    Its supervisor must have seen no fault, unless ``faults`` are expected: so every pipeline that a test serves shows that its
    steps answer as its build says.
    """
    before = len(read_events(log))
    process = subprocess.Popen(
        command(repository, log, *options), stdout=subprocess.PIPE, text=True, cwd=cwd, start_new_session=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the server ended while starting: {log.read_text() if log.exists() else 'no log'}"
        served = Served(process, json.loads(line))
        yield served
        if process.poll() is None:
            assert served.stop() == 0
        assert faults or read_events(log)[before:] == []
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def built(names: Sequence[str | Path], repository: Path, precision: Precision | None = None) -> Path:
    """Build pipelines of this project, or of TOML files, into ``repository``."""
    for spec in specs_named([str(name) for name in names], ROOT / "pipelines"):
        progress = Progress(Console(stderr=True))
        build(spec, repository=repository, cache=StageCache.default(), progress=progress, precision=precision)
    return repository


def built_at_once(files: Sequence[Path], repository: Path) -> Path:
    """Build pipelines of TOML files, two at a time: a tiny model's build is mostly one core's work in torch."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(built, [file], repository) for file in files]:
            done.result()
    return repository


def children(pid: int) -> list[int]:
    """Process ids below one, at this moment."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def alive(pids: Sequence[int]) -> list[int]:
    """Those that still run. One that is dead and that nobody has asked after yet does not."""
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
