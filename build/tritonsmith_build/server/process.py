"""A Triton server as a child process: started, found ready by real inferences, ended without a trace."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server import health, keys
from tritonsmith_build.server.install import TritonInstall
from tritonsmith_build.server.otlp import Otlp
from tritonsmith_build.server.plans import gpus
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.preflight import SHARED_MEMORY
from tritonsmith_build.server.stopping import StopSignals
from tritonsmith_build.server.tls import Tls
from tritonsmith_build.server.topology import Pipeline, loaded, topology

CACHE_BYTES = 64 * 2**20
DRAIN_SECONDS = 30
_DRAINED_SECONDS = 3
_BROKEN_SECONDS = 5
"""Where something is wrong, and those who wait would rather have the next server."""
_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_METRICS = ("summary_latencies=true", "summary_quantiles=0.5:0.05,0.95:0.01,0.99:0.001")
"""Quantiles of latency, each with the error that it may have: Triton's counters alone give means."""
_HARMLESS = ("allocate pinned system memory", "CudaDriverHelper has not been initialized", "unable to create stream")
_LOG_HEADER = f"""\
# Triton's own log. On a machine without a GPU lines with these words are expected and harmless:
# {", ".join(_HARMLESS)}
"""


class TritonServer:
    """Serves ``pipelines`` of ``repository`` while its context lasts.

    Triton's output goes to ``log``, or where this process's own goes. ``steps`` is what its steps find in their
    environment. Leaving the context lets requests in flight finish and leaves no process behind, not even where this process
    itself is killed.
    """

    def __init__(
        self,
        install: TritonInstall,
        repository: Path,
        pipelines: Sequence[str],
        ports: Ports,
        log: Path | None,
        *,
        cache: bool = True,
        config_name: str = "cpu",
        backend_options: Sequence[str] = (),
        key: str = "",
        tls: Tls | None = None,
        otlp: Otlp | None = None,
        steps: Mapping[str, str] | None = None,
    ) -> None:
        self.repository, self.pipelines, self.ports, self.log = repository, pipelines, ports, log
        self._key, self._tls, self._otlp, self._steps = key, tls, otlp, steps or {}
        self._install, self._cache, self._config_name, self._backend_options = install, cache, config_name, backend_options

    def __enter__(self) -> Self:
        self._output = self._open_log()
        self._folder = _folder_without_spaces()
        self._shm_prefix = f"{self._folder.name}-"
        self._install.lay_out(self._folder, self.repository)
        self._start()
        return self

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command(),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: Triton hears of it once, as a SIGTERM
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (it only calls prctl)
        )
        self._ended = os.pidfd_open(self._process.pid)

    def _open_log(self) -> IO[str] | None:
        if self.log is None:
            return None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        output = self.log.open("w", encoding="utf-8")
        output.write(_LOG_HEADER)
        output.flush()
        return output

    def _command(self) -> list[str]:
        folder, ports = self._folder, self.ports
        options = {
            "model-repository": folder / "repository",
            "backend-directory": folder / "backends",
            "model-control-mode": "explicit",
            "model-config-name": self._config_name,
            "http-address": ports.host,
            "http-port": ports.http,
            "grpc-address": ports.host,
            "grpc-port": ports.grpc,
            "metrics-address": ports.host,
            "metrics-port": ports.metrics,
            "allow-gpu-metrics": str(bool(gpus())).lower(),
            "exit-timeout-secs": DRAIN_SECONDS,
            **({"cache-directory": folder / "caches", "cache-config": f"local,size={CACHE_BYTES}"} if self._cache else {}),
        }
        backend_options = (f"python,shm-region-prefix-name={self._shm_prefix}", *self._backend_options)
        repeated = [
            *(f"--metrics-config={option}" for option in _METRICS),
            *(f"--backend-config={option}" for option in backend_options),
            *(f"--load-model={name}" for name in self.pipelines),
        ]
        flags = [f"--{option}={value}" for option, value in options.items()]
        more = [flag for given in (self._tls, self._otlp) if given for flag in given.flags()]
        return [str(self._install.binary), *flags, *keys.flags(self._key), *more, "--disable-auto-complete-config", *repeated]

    def _environment(self) -> dict[str, str]:
        # The steps run in the environment whose bin comes first on PATH.
        return {
            **os.environ,
            "PATH": ":".join([str(Path(sys.executable).parent), *_paths("PATH")]),
            "LD_LIBRARY_PATH": ":".join([*map(str, self._install.libraries), *_paths("LD_LIBRARY_PATH")]),
            # A new __pycache__ in a step's folder is a change to Triton, which starts the step anew at its ensemble's load.
            "PYTHONDONTWRITEBYTECODE": "1",
            # Removed with the segments that Triton shares with its steps.
            "TRITONSMITH_ROOM": str(SHARED_MEMORY / f"{self._shm_prefix}room-"),
            "TOKENIZERS_PARALLELISM": "false",  # one process tokenizes; the engine wants the other cores
            **self._steps,
        }

    @property
    def pid(self) -> int:
        """Triton's process."""
        return self._process.pid

    def kill(self) -> None:
        """End Triton at once."""
        self._process.kill()
        self._process.wait()

    @property
    def ended(self) -> str | None:
        """How Triton ended, None while it runs. By itself it ends only when something is wrong."""
        code = self._process.poll()
        return None if code is None else f"Triton ended by itself with exit code {code}"

    def topology(self, *, timeout: float) -> tuple[Pipeline, ...]:
        """What it serves. Raises OSError or SmithError where it does not say."""
        return topology(self.ports.http_url, key=self._key, timeout=timeout)

    def loaded(self, model: str, *, timeout: float) -> bool:
        """Whether it means to have a model loaded; of one whose process died it still says so. Raises OSError."""
        return loaded(self.ports.http_url, model, key=self._key, timeout=timeout)

    def reload(self, models: Sequence[str], ensembles: Sequence[str]) -> None:
        """Give steps new processes: Triton forgets them with the ensembles over them, ``ensembles`` from without to within.

        Requests on their way through a step whose process died end with an error first. Raises SmithError with Triton's words
        where it does not take them back.
        """
        try:
            for model in models:
                self._post(f"models/{model}/unload")
            for model in (*models, *reversed(ensembles)):
                self._post(f"models/{model}/load")
        except urllib.error.HTTPError as error:
            raise SmithError(f"{model} does not load: {health.said(error)}", where=self.log) from None
        except OSError as error:
            raise SmithError(f"{model} does not load: {error}", where=self.log) from None

    def restart(self, pipelines: Sequence[str]) -> None:
        """End Triton, which answers what is in flight if it can, and start it again; it is not ready when this returns."""
        self._end(_BROKEN_SECONDS)
        self.pipelines = pipelines
        self._start()

    def pause(self, seconds: float, stop: StopSignals | None, others: Iterable[int] = ()) -> bool:
        """Until Triton ends, ``stop`` tells, one of ``others`` can be read, or the time is over; whether it was ``stop``."""
        watched: list[StopSignals | int] = [self._ended, *others, *([stop] if stop else [])]
        told, _, _ = select.select(watched, [], [], seconds)
        return stop in told

    def wait_until_ready(self, *, timeout: float = 120.0, stop: StopSignals | None = None) -> None:
        """Return when every pipeline has answered a real request.

        Triton calls itself ready while a step is dead, so only an inference counts. Raises SmithError with the end of
        Triton's log where it ends first or takes longer than ``timeout`` seconds, KeyboardInterrupt where ``stop`` tells.
        """
        deadline = time.monotonic() + timeout
        while not self._says_ready():
            if (code := self._process.poll()) is not None:
                raise SmithError(f"Triton ended with exit code {code} while starting", where=self.log, fix=self._reasons())
            if time.monotonic() > deadline:
                raise SmithError(f"Triton was not ready within {timeout:g} s", where=self.log, fix=self._reasons())
            if self.pause(_POLL_SECONDS, stop):
                raise KeyboardInterrupt
        for name in self.pipelines:
            try:
                health.ask(self.ports.http_url, name, timeout=timeout)
            except SmithError as error:
                raise SmithError(error.what, where=self.log, fix=self._reasons()) from None

    def _says_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.ports.http_url}/v2/health/ready", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _reasons(self) -> str:
        """The errors in Triton's log, or else its end."""
        if self.log is None:
            return "its log above says why"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.partition("] ")[2].partition("\\n\\nAt:")[0] for line in lines if line.startswith("E")]
        real = [error for error in errors if not any(words in error for words in _HARMLESS)]
        shown = list(dict.fromkeys(real)) or lines
        return "it said:\n" + "\n".join(f"  {line}" for line in shown[:4])

    def _drain(self, seconds: float) -> bool:
        """Unload the ensembles and wait until their requests in flight are answered; whether they all are.

        A SIGTERM alone would close the steps' schedulers at once, and fail every request on its way between two steps.
        """
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):  # a server that no longer answers has nothing to drain
            for name in self.pipelines:
                self._post(f"models/{name}/unload", timeout=seconds)
            while time.monotonic() < deadline:
                if not self._serving():
                    return True
                time.sleep(_POLL_SECONDS)
        return False

    def _serving(self) -> bool:
        states = {entry["name"]: entry.get("state") for entry in self._post("index")}
        return any(states.get(name) != "UNAVAILABLE" for name in self.pipelines)

    def _post(self, path: str, *, timeout: float = DRAIN_SECONDS) -> Any:
        return health.post(f"{self.ports.http_url}/v2/repository/{path}", {}, key=self._key, timeout=timeout)

    def _end(self, seconds: float = DRAIN_SECONDS) -> None:
        """Triton and what belongs to it: its steps' processes, the segments that they shared.

        Requests in flight are waited for so many ``seconds``.
        """
        try:
            if self._process.poll() is None:
                # A model whose process once died is never freed. Triton would wait for it, although nothing is in flight.
                patience = _DRAINED_SECONDS if self._drain(seconds) else seconds + 5
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=patience)
        finally:  # also where a second Ctrl-C cuts the wait short
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # a step's process that outlived the server
            self._process.wait()
            os.close(self._ended)
            for leftover in SHARED_MEMORY.glob(f"{self._shm_prefix}*"):
                leftover.unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._end()
        finally:
            if self._output:
                self._output.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def _paths(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, "").split(":") if path]


def _folder_without_spaces() -> Path:
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="tritonsmith-", dir="/tmp" if " " in base else base))


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
