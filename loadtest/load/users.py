"""Locust's users: each asks pipelines through the client, in a closed loop or at times of its own."""

from __future__ import annotations

import time
from random import Random
from typing import ClassVar

import gevent
from locust import User, task
from locust.exception import StopUser
from tritonsmith.errors import TritonsmithError

from load.callers import Callers, Request, milliseconds_since
from load.checks import WrongAnswerError
from load.scenario import Load
from load.senders import Senders


class NotSentError(Exception):
    """The load generator itself is full."""


class PipelineUser(User):
    """Asks what its scenario says. ``environment.callers`` must be there before it starts."""

    abstract = True
    schemes: ClassVar[tuple[str, ...]]
    """Of the addresses that it can ask."""

    def on_start(self) -> None:
        """Each user chooses by itself, and otherwise than all others."""
        self._callers: Callers = self.environment.callers
        self._load: Load = self.environment.scenario.load
        self._random = Random()
        self._senders = Senders(self._send, self._load.most_waiting)
        self._due = time.perf_counter()
        if self.environment.callers is None:  # and the reason has been said
            raise StopUser

    @task
    def ask(self) -> None:
        """Wait for the answer, or in an open loop for the time of the next."""
        request = self._callers.request(self._random)
        if self._load.loop == "closed":
            self._send(request, time.perf_counter())
            return
        rate = (self._load.rate or 0) / self._load.users
        self._due += self._random.expovariate(rate)
        gevent.sleep(max(0.0, self._due - time.perf_counter()))
        if not self._senders.put(request, self._due):
            self._tell(request, self._due, 0, NotSentError(f"{self._load.most_waiting} requests are under way already"))

    def on_stop(self) -> None:
        """What is under way is waited for: its answers count."""
        self._senders.finish()

    def _send(self, request: Request, due: float) -> None:
        error: Exception | None = None
        try:
            request.send()
        except (TritonsmithError, WrongAnswerError) as caught:
            error = caught
        self._tell(request, due, self._callers.wire.taken(), error)

    def _tell(self, request: Request, due: float, size: int, error: Exception | None) -> None:
        # What failed has a row of its own: a refusal is quick, and would make answers look so.
        kind = f" {type(error).__name__}" if error else ""
        self.environment.events.request.fire(
            request_type=self.schemes[0],
            name=request.name + kind,
            response_time=milliseconds_since(due),
            response_length=size,
            exception=error,
            context={},
        )


class GrpcUser(PipelineUser):
    """Over gRPC; all users of a process share one channel."""

    schemes = ("grpc", "grpcs")


class HttpUser(PipelineUser):
    """Over HTTP; each user has a connection of its own."""

    schemes = ("http", "https")
