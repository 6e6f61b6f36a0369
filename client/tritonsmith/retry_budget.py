"""How many retries a client may add to what it asks anyway."""

from __future__ import annotations

import threading


class RetryBudget:
    """At most ``reserve`` retries and ``share`` of one more for each request, over any stretch of requests. Thread-safe.

    A token bucket as in Finagle's ``RetryBudget`` and gRPC's retry throttling: a request puts ``share`` in, a retry takes 1
    out, more than ``reserve`` is not kept. However many clients an overload refuses, they send it at most ``1 + share`` times
    what they would have sent, once their reserves are spent.
    """

    def __init__(self, share: float, reserve: float) -> None:
        self._share, self._reserve = share, reserve
        self._tokens = float(reserve)
        self._lock = threading.Lock()

    def count_request(self) -> None:
        """A request is sent for the first time."""
        with self._lock:
            self._tokens = min(self._reserve, self._tokens + self._share)

    def take_retry(self) -> bool:
        """Whether one may be sent again; that retry is then counted."""
        with self._lock:
            allowed = self._tokens >= 1
            if allowed:
                self._tokens -= 1
            return allowed
