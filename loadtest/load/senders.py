"""Greenlets that send what is due, as many as are needed at once. Each keeps its own connection where the protocol has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.queue import Queue


class Senders:
    """Calls ``send`` with what is put, at once, from at most ``most`` greenlets."""

    def __init__(self, send: Callable[..., None], most: int) -> None:
        self._send, self._most = send, most
        self._jobs: Queue[Any] = Queue()
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._under_way = 0

    def put(self, *job: Any) -> bool:
        """Whether there was a greenlet to take it."""
        if self._under_way >= self._most:
            return False
        if self._under_way == len(self._greenlets):
            self._greenlets.append(gevent.spawn(self._work))
        self._under_way += 1
        self._jobs.put(job)
        return True

    def _work(self) -> None:
        for job in self._jobs:
            try:
                self._send(*job)
            finally:
                self._under_way -= 1

    def finish(self) -> None:
        """Wait for what is under way."""
        for _ in self._greenlets:
            self._jobs.put(StopIteration)
        gevent.joinall(self._greenlets, raise_error=True)
