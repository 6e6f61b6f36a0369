"""The memory of a server and its steps, second by second."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil

_PAUSE = 1.0


class Watched:
    """Reads the memory of a process and all below it while its context lasts, shared pages counted once, in MiB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.readings: dict[float, float] = {}
        """By Unix time."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_PAUSE):
            processes = [self._process, *self._process.children(recursive=True)]
            self.readings[time.time()] = sum(process.memory_full_info().pss for process in processes) / 2**20

    def near(self, moment: float) -> float:
        """What was read nearest to a moment."""
        return self.readings[min(self.readings, key=lambda read: abs(read - moment))]
