"""One change of a deployed copy at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from tritonsmith_build.errors import SmithError

_LOCK = ".deployed.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While it lasts nobody else changes the copy; a process that is killed holds nothing. Raises SmithError at once."""
    with (folder / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SmithError(
                "another upgrade, rollback or deploy is under way", where=folder, fix="wait until it ends"
            ) from None
        yield
