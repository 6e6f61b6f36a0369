"""What a server costs besides time: memory and CPU of all its processes, and how they are all found and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from threading import Event

import psutil

MARK = "TRITONSMITH_BENCH"
"""In the environment of all that a measured server starts: some of it leaves the process tree."""
_ASKED_SECONDS, _KILLED_SECONDS = 20.0, 5.0


def processes(root: int, mark: str) -> list[psutil.Process]:
    """Those below a process, itself included, and those that carry the mark."""
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        found = {one.pid: one for one in (process, *process.children(recursive=True))}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found[process.pid] = process
    return [process for process in found.values() if process.pid != os.getpid()]


def memory_mib(found: list[psutil.Process]) -> float:
    """Proportional memory: what several processes share is counted once."""
    return float(sum(_each(found, lambda process: process.memory_full_info().pss))) / 2**20


def idle_percent(found: list[psutil.Process], seconds: float) -> float:
    """CPU time over ``seconds`` of being asked nothing, in percent of one core."""
    before, start = _cpu(found), time.perf_counter()
    Event().wait(seconds)
    return 100 * (_cpu(found) - before) / (time.perf_counter() - start)


def _cpu(found: list[psutil.Process]) -> float:
    return sum(_each(found, lambda process: process.cpu_times().user + process.cpu_times().system))


def _each(found: list[psutil.Process], read: Callable[[psutil.Process], float]) -> Iterator[float]:
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield read(process)


def end(process: subprocess.Popen[bytes], mark: str, *, group: bool) -> None:
    """Ask a server to end, its whole process group where ``group``; then kill what of it is left."""
    found = processes(process.pid, mark)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM) if group else process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ASKED_SECONDS)
    _, left = psutil.wait_procs(found, timeout=2.0)
    left = [*{*left, *processes(process.pid, mark)}]
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs(left, timeout=_KILLED_SECONDS)
