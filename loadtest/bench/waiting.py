"""Waiting for something to become true, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

import psutil

IDLE_PERCENT = 10.0
SETTLE_SECONDS = 30.0
_LOOK_SECONDS = 0.5


def until(condition: Callable[[], bool], *, limit: float, every: float = 0.02) -> bool:
    """Look until ``condition`` holds; whether it did within ``limit`` seconds."""
    end, pause = time.monotonic() + limit, Event()
    while not condition():
        if time.monotonic() >= end:
            return False
        pause.wait(every)
    return True


def settled(limit: float = SETTLE_SECONDS) -> float:
    """Wait until this machine does next to nothing; the load in percent of all cores that was left when it ended."""
    end = time.monotonic() + limit
    while (busy := psutil.cpu_percent(interval=_LOOK_SECONDS)) > IDLE_PERCENT and time.monotonic() < end:
        pass
    return busy
