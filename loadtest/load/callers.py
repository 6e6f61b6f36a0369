"""What all users of a process share: one connection, the pipelines, their items, and the answers from before the load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tritonsmith import Client
from tritonsmith.client import Pipeline
from tritonsmith.codec import TASKS

from load.checks import check
from load.items import Chosen, choose, pool_of
from load.scenario import Asked, Scenario
from load.wire import MeasuredTransport, address_of

TIMEOUT = 30.0
"""Seconds until a request without an answer is an error."""


@dataclass(frozen=True)
class Prepared:
    """A pipeline with what it is asked, and what it answered to that before the load."""

    asked: Asked
    pipeline: Pipeline
    pool: Sequence[Any]
    answers: Sequence[Any]


@dataclass(frozen=True)
class Request:
    """One request that is about to be sent."""

    prepared: Prepared
    chosen: Chosen

    @property
    def name(self) -> str:
        """Under which it is counted: its pipeline and how many items it has."""
        return f"{self.prepared.asked.name} [{len(self.chosen.items)}]"

    def send(self) -> None:
        """Ask, and look at the answer. Raises the client's errors and WrongAnswerError."""
        one, places = self.prepared, self.chosen.known
        answers = answers_to(one.pipeline, self.chosen.items, one.asked)
        expected = [one.answers[place] for place in places or range(len(self.chosen.items))]
        check(answers, expected, known=places is not None, tolerance=one.asked.tolerance)


def answers_to(pipeline: Pipeline, items: Sequence[Any], asked: Asked) -> Sequence[Any]:
    """One answer an item, also from tasks that take the list off a single one."""
    answers = pipeline(list(items), **asked.options)
    return [answers] if len(items) == 1 and TASKS[pipeline.info.task].unwraps_one else answers


class Callers:
    """Made once a process. Raises the client's errors where the server or a pipeline is not there."""

    def __init__(self, scenario: Scenario, url: str | None) -> None:
        self.wire = MeasuredTransport(address_of(url, timeout=TIMEOUT))
        # A user's request is one of the server's; nothing is split, so no thread is needed.
        self._client = Client(transport=self.wire, timeout=TIMEOUT, concurrency=1)
        self._prepared = [self._prepare(asked) for asked in scenario.pipelines]
        self._weights = [asked.weight for asked in scenario.pipelines]

    def _prepare(self, asked: Asked) -> Prepared:
        pipeline = self._client.pipeline(asked.name)
        config = self.wire.config(asked.name, TIMEOUT)
        needed = [tensor["name"] for tensor in config["input"] if not tensor.get("optional")]
        pool = pool_of(asked, needed)
        return Prepared(asked, pipeline, pool, answers_to(pipeline, pool, asked))

    def request(self, random: Random) -> Request:
        """The next request of a user."""
        (prepared,) = random.choices(self._prepared, self._weights)
        return Request(prepared, choose(prepared.asked, prepared.pool, random))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def milliseconds_since(start: float) -> float:
    """By the clock of ``time.perf_counter``."""
    return 1000 * (time.perf_counter() - start)
