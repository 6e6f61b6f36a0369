"""What must hold before Triton is started, each with its fix: better one line here than a page in its log."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.pbtxt import config_from_text
from tritonsmith_build.repository import read_manifest

SHARED_MEMORY = Path("/dev/shm")
_NEEDED_SHARED_MEMORY = 64 * 2**20


@dataclass(frozen=True)
class Ports:
    """Where the server listens, on one host."""

    host: str
    http: int
    grpc: int
    metrics: int

    @classmethod
    def free(cls, host: str, *, http: int, grpc: int, metrics: int) -> Ports:
        """The given ports, a free one for each 0. Raises SmithError for one that is taken."""
        with _Held(host) as held:
            return cls(host, held.take("http-port", http), held.take("grpc-port", grpc), held.take("metrics-port", metrics))

    @property
    def http_url(self) -> str:
        """For a client on this machine."""
        return f"http://{self._reach}:{self.http}"

    @property
    def grpc_url(self) -> str:
        """For a client on this machine."""
        return f"grpc://{self._reach}:{self.grpc}"

    @property
    def metrics_url(self) -> str:
        """The page that Prometheus reads."""
        return f"http://{self._reach}:{self.metrics}/metrics"

    @property
    def _reach(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)


class _Held:
    """Holds every port until all are chosen, so that no two are the same."""

    def __init__(self, host: str) -> None:
        self.host, self.sockets = host, list[socket.socket]()

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *exception: object) -> None:
        for held in self.sockets:
            held.close()

    def take(self, option: str, port: int) -> int:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets.append(held)
        try:
            held.bind((self.host, port))
            held.listen()
        except OSError as error:
            what = f"port {port} on {self.host} cannot be used ({error.strerror})"
            raise SmithError(what, where=f"--{option}", fix=f"end what uses it, or give --{option} 0 for a free one") from None
        return int(held.getsockname()[1])


@dataclass(frozen=True)
class Found:
    """The pipelines of a repository, by whether they can be served here."""

    ready: tuple[str, ...]
    not_ready: dict[str, str]
    """Why each of these cannot, and what to do."""


def pipelines_in(repository: Path, wanted: Sequence[str] = ()) -> Found:
    """Look at each ensemble (or those ``wanted``) and its artefacts for the ``cpu`` target.

    Raises SmithError where there is no repository, a wanted pipeline is not in it, or none is ready.
    """
    if not repository.is_dir():
        raise SmithError("no such folder", where=repository, fix="run: tritonsmith build PIPELINE, or give --repository")
    steps = {file.parent.name: found for file in sorted(repository.glob("*/config.pbtxt")) if (found := _steps(file))}
    if unknown := [name for name in wanted if name not in steps]:
        there = ", ".join(steps) or "none"
        raise SmithError(
            f"no pipeline {unknown[0]}; there are: {there}", where=repository, fix="correct --pipelines or build it"
        )
    problems = {name: _problem(repository, name, steps[name]) for name in (wanted or steps)}
    ready = tuple(name for name, problem in problems.items() if problem is None)
    not_ready = {name: problem for name, problem in problems.items() if problem is not None}
    if not ready or (wanted and not_ready):
        reasons = "; ".join(f"{name}: {problem}" for name, problem in not_ready.items()) or "it holds no pipeline"
        raise SmithError(f"nothing to serve: {reasons}", where=repository)
    return Found(ready, not_ready)


def _steps(file: Path) -> list[tuple[str, int]]:
    config = config_from_text(file.read_text(encoding="utf-8"), where=file)
    return [(step.model_name, step.model_version) for step in config.ensemble_scheduling.step]


def _problem(repository: Path, name: str, steps: list[tuple[str, int]]) -> str | None:
    rebuild = f"run: tritonsmith build {name}"
    manifests = [manifest for step, version in steps if (manifest := read_manifest(repository / step / str(version)))]
    files = {path: said for manifest in manifests for path, said in manifest["targets"].get("cpu", {}).get("files", {}).items()}
    if not files:
        return f"not built for the cpu target; {rebuild}"
    for path, said in files.items():
        file = repository / path
        if not file.is_file():
            return f"{path} is missing; {rebuild}"
        if sha256(file) != said["sha256"]:
            return f"{path} is not the file its manifest speaks of; {rebuild}"
    return None


def check_shared_memory() -> None:
    """Steps pass tensors through shared memory; SmithError where there is too little."""
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    if free < _NEEDED_SHARED_MEMORY:
        what = f"{free / 2**20:.0f} MiB of shared memory are free, {_NEEDED_SHARED_MEMORY / 2**20:.0f} are needed"
        raise SmithError(what, where=SHARED_MEMORY, fix="remove leftovers there, or give a container --shm-size 256m")
