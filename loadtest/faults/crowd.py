"""Clients that ask without pause, know what is right, and write down what they got and when."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tritonsmith import Client, TritonsmithError

RIGHT, WRONG = "right", "wrong"
TEXTS = (
    "A delight from start to finish.",
    "Nothing in it works, and it takes two hours to do so.",
    "The weather was neither good nor bad.",
    "I would not wish this on anyone.",
    "She plays it with so much warmth that one forgives the ending.",
)
_AFTER_ERROR = 0.1
"""Seconds before the next try, the least that a client which backs off would wait."""
_CLOSE = 1e-3


@dataclass(frozen=True)
class Asked:
    """One request; times are those of ``time.monotonic``."""

    sent: float
    ended: float
    outcome: str
    """``right``, ``wrong``, or the error's own words."""


class Crowd:
    """So many clients of one pipeline over gRPC while the context lasts, each with one request at a time."""

    def __init__(self, url: str, pipeline: str, clients: int, *, timeout: float = 30.0) -> None:
        self._url, self._pipeline, self._timeout = url, pipeline, timeout
        self.asked: list[Asked] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(index,), daemon=True) for index in range(clients)]

    def __enter__(self) -> Self:
        with Client(self._url, timeout=self._timeout) as client:
            pipe = client.pipeline(self._pipeline)
            self._right = [pipe(text) for text in TEXTS]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=self._timeout + 5)

    def _ask(self, index: int) -> None:
        with Client(self._url, timeout=self._timeout) as client:
            pipe = client.pipeline(self._pipeline)
            for number in itertools.islice(itertools.cycle(range(len(TEXTS))), index, None):
                if self._stop.is_set():
                    return
                sent = time.monotonic()
                try:
                    outcome = RIGHT if same(pipe(TEXTS[number]), self._right[number]) else WRONG
                except TritonsmithError as error:
                    outcome = str(error)
                self.asked.append(Asked(sent, time.monotonic(), outcome))
                if outcome not in (RIGHT, WRONG):
                    self._stop.wait(_AFTER_ERROR)


def same(answer: Any, right: Any) -> bool:
    """Whether two answers are the same, but for how their numbers are rounded."""
    if isinstance(right, float):
        return isinstance(answer, float) and math.isclose(answer, right, abs_tol=_CLOSE)
    if isinstance(right, dict):
        return (
            isinstance(answer, dict) and answer.keys() == right.keys() and all(same(answer[key], right[key]) for key in right)
        )
    if isinstance(right, Sequence) and not isinstance(right, str):
        return isinstance(answer, Sequence) and len(answer) == len(right) and all(map(same, answer, right))
    return bool(answer == right)
