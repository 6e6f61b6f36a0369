"""Load over HTTP: runs ``wrk``, a small C program, with prepared bodies, and reads what it reports."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_steps.cores import cores

_SCRIPT = Path(__file__).with_name("wrk.lua")
_ERRORS = ("connect", "read", "write", "timeout", "status")
_ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Load:
    """What a load generator saw in one measurement; latencies in milliseconds."""

    requests: int
    """Answered, not counting those answered with an error."""
    seconds: float
    p50: float
    p90: float
    p99: float
    p999: float
    errors: int
    loader_cpu: float
    """CPU seconds that the load generator itself took, from the same cores."""

    @property
    def per_second(self) -> float:
        """Answered requests a second."""
        return self.requests / self.seconds


def found() -> str:
    """Where wrk is. Raises SmithError where it is not."""
    if (path := shutil.which("wrk")) is None:
        raise SmithError("wrk is not installed", fix="run: apt-get install wrk")
    return path


def version() -> str:
    """What wrk calls itself."""
    said = subprocess.run([found(), "--version"], capture_output=True, text=True, check=False)  # its exit code is 1
    return " ".join(said.stdout.split("\n")[0].split("Copyright")[0].split()[1:3]) or "unknown"


def threads_for(concurrency: int) -> int:
    """One is enough for a machine of a few cores, and leaves those to the server."""
    return max(1, min(concurrency, cores() // 8))


def run(
    url: str,
    bodies: Path,
    *,
    concurrency: int,
    seconds: int,
    threads: int | None = None,
) -> Load:
    """Keep ``concurrency`` requests under way for ``seconds``. Raises SmithError where wrk itself fails."""
    threads = threads or threads_for(concurrency)
    command = [
        *(found(), f"-t{threads}", f"-c{concurrency}", f"-d{seconds}s", f"--timeout={_ANSWER_SECONDS}s", "-s", str(_SCRIPT)),
        *(url, "--", str(bodies), str(threads)),
    ]
    before = _children_cpu()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SmithError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}", where=url)
    return parsed(done.stdout, loader_cpu=_children_cpu() - before)


def parsed(output: str, *, loader_cpu: float = 0.0) -> Load:
    """From what ``wrk.lua`` printed last."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise SmithError(f"wrk printed no result: {output.strip()[-300:]}", fix="try it by hand with loadtest/bench/wrk.lua")
    said = json.loads(lines[-1])
    return Load(
        requests=said["requests"] - said["status"],
        seconds=said["duration_us"] / 1e6,
        **{name: said[f"{name}_us"] / 1e3 for name in ("p50", "p90", "p99", "p999")},
        errors=sum(said[name] for name in _ERRORS),
        loader_cpu=round(loader_cpu, 3),
    )


def _children_cpu() -> float:
    """Of all that this process has started and that has ended: between two readings that is wrk alone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
