"""SIGTERM and Ctrl-C as something to wait for, rather than an exception out of nowhere."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """While its context lasts, the first SIGTERM or Ctrl-C makes ``fileno()`` readable; a second one interrupts.

    An exception raised by a signal handler comes up wherever the interpreter happens to be, and is lost in a
    destructor; a handler itself is put off while the interpreter sits in a system call that another thread's signal
    does not end. A byte that the kernel's handler writes to a pipe is neither lost nor late.
    """

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._told = False
        self._before = {number: signal.signal(number, self._tell) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _tell(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            raise KeyboardInterrupt
        self._told = True

    def fileno(self) -> int:
        """The end to select on."""
        return self._reading

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reading)
        os.close(self._writing)
