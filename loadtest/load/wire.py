"""The client's connection, shared by all users of a process, which also says how large an answer was."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from tritonsmith.calls import Arrays
from tritonsmith.transport import Address, Transport, transport_to

MOST_UNDER_WAY = 1000
"""Requests over gRPC that a process may wait for at once."""


def address_of(url: str | None, *, timeout: float) -> Address:
    """Where the server is. Raises ValueError with what to write."""
    return Address.parse(url or "", timeout=timeout)


class MeasuredTransport:
    """A transport that remembers, for the thread or greenlet that asked, the bytes of its last answers."""

    def __init__(self, address: Address) -> None:
        if address.grpc:
            import gevent
            import grpc.experimental.gevent

            # Locust's users are greenlets: without this one that waits for gRPC would hold up all others.
            grpc.experimental.gevent.init_gevent()
            # A call that waits takes a thread of gevent's pool, which has ten: more users would wait for each other here.
            gevent.get_hub().threadpool.maxsize = MOST_UNDER_WAY
        self._wire: Transport = transport_to(address)
        self._local = threading.local()

    def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """See ``tritonsmith.transport.Transport``."""
        return self._wire.config(model, timeout)

    def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """See ``tritonsmith.transport.Transport``."""
        answer = self._wire.infer(model, inputs, timeout, request_id)
        self._local.bytes = getattr(self._local, "bytes", 0) + sum(map(_size, answer.values()))
        return answer

    def taken(self) -> int:
        """Bytes since the last time this was asked."""
        size = getattr(self._local, "bytes", 0)
        self._local.bytes = 0
        return int(size)

    def close(self) -> None:
        """See ``tritonsmith.transport.Transport``."""
        self._wire.close()


def _size(array: np.ndarray[Any, Any]) -> int:
    return sum(map(len, array.ravel())) if array.dtype == object else array.nbytes
