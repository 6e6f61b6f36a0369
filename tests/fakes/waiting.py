"""Waiting for what a test needs to hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(holds: Callable[[], Found], what: str, *, seconds: float = 60) -> Found:
    """Look until something holds, and return what was found; an AssertionError with ``what`` where it never does."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found
