"""What a step tells of single requests to the server's log of them: when, how long, how large. Never what they hold."""

from __future__ import annotations

import json
import os
import random
import zlib
from collections.abc import Sequence
from typing import Any, Literal

from tritonsmith_steps.arrays import Arrays, Result

PLACE, EVERY = "TRITONSMITH_JOURNAL", "TRITONSMITH_JOURNAL_EVERY"
"""Variables that a step finds in its environment: the pipe to who writes the log, and of how many requests one is told."""
Outcome = Literal["answered", "refused", "failed"]
Record = dict[str, Any]
"""``id``, ``model``, ``version``, ``outcome``; ``begin`` and ``end`` in nanoseconds since 1970; ``rows`` and ``bytes`` came."""
_LONGEST = 128
"""Characters of a caller's id: so every record fits into what a pipe takes at once, and none is torn by another step's."""


class Journal:
    """Tells of one of ``every`` requests, and of each that a step refuses or fails at.

    All steps choose the same ones, by their ids. A request without an id cannot be followed from step to step: each step then
    chooses for itself.
    """

    def __init__(self, model: str, version: str, place: str, every: int) -> None:
        self._about = {"model": model, "version": int(version)}
        self._every = every
        self._pipe = os.open(place, os.O_WRONLY | os.O_NONBLOCK)  # no caller waits for a line of a log

    @classmethod
    def found(cls, model: str, version: str) -> Journal | None:
        """The one that the environment names, if it names one."""
        place = os.environ.get(PLACE)
        return cls(model, version, place, int(os.environ[EVERY])) if place else None

    def __call__(
        self, ids: Sequence[str], given: Sequence[Arrays] | None, results: Sequence[Result] | None, begin: int, end: int
    ) -> int:
        """Tell of a batch's requests, which have no ``results`` where the step failed; how many could not be told."""
        missed = 0
        for index, name in enumerate(ids):
            outcome = _outcome(results[index] if results is not None else None)
            if outcome != "answered" or self._chosen(name):
                sizes = _sizes(given[index]) if given else {}
                about = {"id": name[:_LONGEST], **self._about, "outcome": outcome, "begin": begin, "end": end, **sizes}
                missed += not self._told(about)
        return missed

    def _chosen(self, name: str) -> bool:
        if not name:
            return random.random() * self._every < 1
        return zlib.crc32(name.encode()) % self._every == 0

    def _told(self, record: Record) -> bool:
        try:
            os.write(self._pipe, json.dumps(record).encode() + b"\n")
        except OSError:  # nobody reads, or not as fast as requests come
            return False
        return True


def _outcome(result: Result | None) -> Outcome:
    if result is None:
        return "failed"
    return "refused" if isinstance(result, ValueError) else "answered"


def _sizes(request: Arrays) -> dict[str, int]:
    rows = max((len(array) for array in request.values()), default=0)
    return {"rows": rows, "bytes": sum(_bytes(array) for array in request.values())}


def _bytes(array: Any) -> int:
    return sum(map(len, array.ravel())) if array.dtype == object else int(array.nbytes)
