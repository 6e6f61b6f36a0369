"""The processes of a Triton server's Python steps, as Linux shows them. Triton itself does not say when one of them dies."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_BINARY = "triton_python_backend_stub"
_STOPPED = "T"
_UNIQUE = 36


@dataclass(frozen=True)
class Stub:
    """One process of one step's."""

    pid: int
    model: str
    segments: str
    """How the names of all the server's shared-memory segments begin."""

    @property
    def stopped(self) -> bool:
        """Whether it was halted."""
        return halted(self.pid)


class Processes:
    """A server's, held so that the end of one is noticed at once: each one's descriptor can be read when it has ended."""

    def __init__(self) -> None:
        self._held: dict[Stub, int] = {}

    def hold(self, server: int) -> None:
        """Take those that a server has now, by its process's id, in place of those held before."""
        self.let_go()
        for stub in stubs_of(server):
            with contextlib.suppress(ProcessLookupError):
                self._held[stub] = os.pidfd_open(stub.pid)

    @property
    def descriptors(self) -> Collection[int]:
        """What to wait on."""
        return self._held.values()

    @property
    def changed(self) -> bool:
        """Whether one has ended or was halted."""
        ended, _, _ = select.select(list(self._held.values()), [], [], 0)
        return bool(ended) or any(stub.stopped for stub in self._held)

    def working(self, model: str) -> int:
        """How many of a step's were at work when they were taken."""
        return sum(stub.model == model and not stub.stopped for stub in self._held)

    def end(self, models: Collection[str]) -> None:
        """Kill what is left of these steps' processes: one that hangs would keep Triton from forgetting it."""
        for stub, descriptor in self._held.items():
            if stub.model in models:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    def let_go(self) -> None:
        """Close the descriptors."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def halted(pid: int) -> bool:
    """Whether a process was stopped by a signal: it lives, and answers nothing."""
    return _state(pid)[:1] == (_STOPPED,)


def stubs_of(server: int) -> list[Stub]:
    """The processes of a server's Python steps, by its own process's id."""
    return list(_children(server))


def _children(server: int) -> Iterator[Stub]:
    for folder in _PROC.iterdir():
        if not folder.name.isdigit() or _state(int(folder.name))[1:2] != (str(server),):
            continue
        with contextlib.suppress(OSError):  # it may end while it is looked at
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name == _BINARY:
                yield Stub(int(folder.name), Path(words[1]).parents[1].name, _without_unique(words[2]))


def _without_unique(segment: str) -> str:
    """Triton puts 36 characters of its own behind the prefix that it was given."""
    return segment[:-_UNIQUE]


def _state(pid: int) -> tuple[str, ...]:
    """A process's state and its parent; nothing where it is gone. Its name, which may hold anything, stands in brackets."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ()
    return tuple(fields[:2])
