"""The log of requests: what the steps tell of each, joined and written as a line of JSON. No line holds what a caller sent.

Only what steps see is told: an answer from Triton's cache touches none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import Formatter, LogRecord, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tritonsmith_steps.journal import EVERY, PLACE, Record

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.topology import Pipeline

Write = Callable[[str], None]
MEGABYTES, FILES = 20, 5
"""Of the log's file before the next is begun, and files that are kept."""
PATIENCE = 60.0
"""Seconds after which a request that reached no last step is given up: Triton itself ended it on its way between two steps."""
_TICK = 1.0
_MOST = 10_000
"""Requests on their way whose steps are remembered."""
_KEPT = 2**20
"""Bytes that steps may be ahead of what is written."""


@dataclass(frozen=True)
class Lines:
    """Where lines go, and of how many requests one gets a line although nothing is wrong with it."""

    write: Write
    every: int

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SmithError(f"{self.every} is no number of requests", where="--request-log-every", fix="give 1 or more")


@dataclass
class _Request:
    """What is known of one so far."""

    since: float
    told: list[Record] = field(default_factory=list)


class Joiner:
    """Makes lines of what steps tell, in whatever order it comes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, _Request] = {}
        self._ends: Mapping[str, str] = {}
        self._over: Mapping[str, str] = {}

    def serves(self, pipelines: Sequence[Pipeline]) -> None:
        """The steps of which pipelines tell."""
        self._over = {step.model: one.name for one in pipelines for step in one.steps}
        self._ends = {one.steps[-1].model: one.name for one in pipelines if one.steps}

    def told(self, record: Record) -> Iterator[str]:
        """The lines that this record completes: a last step's does, and that of a request that ended with an error."""
        name = record["id"]
        if record["model"] in self._steps_told(name):  # the request was sent again
            yield self._given_up(name)
        request = self._open.setdefault(name, _Request(self._clock())) if name else _Request(0)
        request.told.append(record)
        if not name or record["model"] in self._ends or record["outcome"] != "answered":
            self._open.pop(name, None)
            yield self._line(request, record["outcome"])
        while len(self._open) > _MOST:
            yield self._given_up(next(iter(self._open)))

    def late(self) -> Iterator[str]:
        """The lines of requests that have waited too long for their next step."""
        due = self._clock() - PATIENCE
        for name in [name for name, request in self._open.items() if request.since < due]:
            yield self._given_up(name)

    def rest(self) -> Iterator[str]:
        """The lines of all that are open, where nothing more will be told."""
        for name in list(self._open):
            yield self._given_up(name)

    def _steps_told(self, name: str) -> set[str]:
        return {record["model"] for record in self._open[name].told} if name in self._open else set()

    def _given_up(self, name: str) -> str:
        return self._line(self._open.pop(name), "lost")

    def _line(self, request: _Request, outcome: str) -> str:
        told = sorted(request.told, key=lambda record: int(record["begin"]))
        first, last = told[0], told[-1]
        pipeline = self._ends.get(last["model"]) or self._over.get(last["model"])
        begin, end = first["begin"], max(record["end"] for record in told)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(begin / 1e9, UTC).isoformat(timespec="milliseconds"),
            "id": first["id"] or None,
            "pipeline": pipeline,
            "version": last["version"],
            "outcome": outcome,
            "ms": _milliseconds(begin, end),
            **{size: first[size] for size in ("rows", "bytes") if size in first},
            "steps": {
                record["model"].removeprefix(f"{pipeline}_"): _milliseconds(record["begin"], record["end"]) for record in told
            },
        }
        return json.dumps(line, ensure_ascii=False)


def _milliseconds(begin: int, end: int) -> float:
    return round((end - begin) / 1e6, 3)


class Journal:
    """Hears what steps tell while its context lasts, on a thread of its own."""

    def __init__(self, wanted: Lines) -> None:
        self._wanted = wanted
        self._joiner = Joiner()
        self._closing = False

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="tritonsmith-"))  # where nobody else may write
        os.mkfifo(self._place, 0o600)
        self._pipe = os.open(self._place, os.O_RDWR | os.O_NONBLOCK)  # to write too: it does not end with a step
        with contextlib.suppress(OSError):  # what a machine allows is its own affair
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _KEPT)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()
        return self

    @property
    def _place(self) -> str:
        return str(self._folder / "journal")

    @property
    def environment(self) -> dict[str, str]:
        """What steps must find in theirs."""
        return {PLACE: self._place, EVERY: str(self._wanted.every)}

    def serves(self, pipelines: Sequence[Pipeline]) -> None:
        """The steps of which pipelines tell."""
        self._joiner.serves(pipelines)

    def _run(self) -> None:
        rest = b""
        while not self._closing:
            if select.select([self._pipe], [], [], _TICK)[0]:
                *lines, rest = (rest + os.read(self._pipe, _KEPT)).split(b"\n")
                for line in lines:
                    self._hear(line)
            self._write(self._joiner.late())
        self._write(self._joiner.rest())

    def _hear(self, line: bytes) -> None:
        with contextlib.suppress(ValueError):
            self._write(self._joiner.told(json.loads(line)))

    def _write(self, lines: Iterator[str]) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # of no step's record
            for line in lines:
                self._wanted.write(line)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing = True
        os.write(self._pipe, b"\n")  # it reads what came before
        self._thread.join()
        os.close(self._pipe)
        shutil.rmtree(self._folder, ignore_errors=True)


def to_files(file: Path) -> Write:
    """Lines into ``file``, and into the next where it is full. A full disk loses lines and stops nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = _Quiet(file, maxBytes=MEGABYTES * 2**20, backupCount=FILES - 1, encoding="utf-8", delay=True)
    handler.setFormatter(Formatter("%(message)s"))

    def write(line: str) -> None:
        handler.handle(makeLogRecord({"msg": line}))

    return write


class _Quiet(RotatingFileHandler):
    def handleError(self, record: LogRecord) -> None:  # noqa: N802 (logging's name)
        """Nobody is helped by a word about it for each request."""
