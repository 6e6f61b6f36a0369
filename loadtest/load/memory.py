"""What a server and its steps hold, second by second: memory, open files, segments of shared memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
from tritonsmith_build.server.preflight import SHARED_MEMORY
from tritonsmith_build.server.stubs import stubs_of

from load.repeating import Repeating

_PAUSE = 1.0


@dataclass(frozen=True)
class Held:
    """By one process."""

    mib: float
    """Shared pages are parted among those that share them."""
    files: int


@dataclass(frozen=True)
class Reading:
    """All at one moment, in Unix time."""

    time: float
    processes: Mapping[str, Held]
    """By what it is and its process id."""
    segments: int

    @property
    def mib(self) -> float:
        """Of all processes together."""
        return sum(held.mib for held in self.processes.values())


class Watched(Repeating):
    """Reads what a process and all below it hold while its context lasts."""

    def __init__(self, pid: int, *, pause: float = _PAUSE) -> None:
        super().__init__(pause)
        self._process = psutil.Process(pid)
        self.readings: list[Reading] = []

    def turn(self) -> None:
        """Read once."""
        self.readings.append(self._read())

    def _read(self) -> Reading:
        steps = {stub.pid: stub for child in self._process.children() for stub in stubs_of(child.pid)}
        names = {pid: stub.model for pid, stub in steps.items()}
        prefixes = tuple({stub.segments for stub in steps.values()})
        segments = sum(path.name.startswith(prefixes) for path in SHARED_MEMORY.iterdir()) if prefixes else 0
        return Reading(time.time(), dict(self._held(names)), segments)

    def _held(self, names: Mapping[int, str]) -> Iterator[tuple[str, Held]]:
        for process in (self._process, *self._process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # one that has just ended
                name = names.get(process.pid) or process.name()
                yield f"{name} {process.pid}", Held(process.memory_full_info().pss / 2**20, process.num_fds())

    def near(self, moment: float) -> float:
        """MiB of all, read nearest to a moment."""
        return min(self.readings, key=lambda reading: abs(reading.time - moment)).mib


def slope(readings: Sequence[Reading], process: str) -> float:
    """MiB a minute, by least squares over the readings that have the process; 0 of fewer than two."""
    seen = [(reading.time, reading.processes[process].mib) for reading in readings if process in reading.processes]
    if len(seen) < 2:
        return 0.0
    times, mibs = np.array(seen).T
    return float(np.polyfit((times - times[0]) / 60, mibs, 1)[0])
