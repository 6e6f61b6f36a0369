"""What can go wrong, drawn as a tree.

TritonsmithError
├── ServerUnreachableError   nothing answers at that address
├── RequestTimeoutError      no answer in time, from the network or from the server's queue
├── OverloadedError          the server's queue is full; the request was refused at once and may be sent again
├── InvalidInputError        one of the inputs cannot be used; ``item`` says which
├── ModelNotFoundError       the server has no such model, or it is not ready
└── ServerError              the server failed; its log says why
"""

from __future__ import annotations

import re

_ENSEMBLE = re.compile(r"in ensemble '[^']*',\s*")
_UNREACHABLE = ("connect", "socket", "dns", "resolv", "lookup")  # gRPC's words, which differ between its versions
_ITEM = re.compile(r"\bitem (\d+): ")


class TritonsmithError(Exception):
    """The root of the tree."""


class ServerUnreachableError(TritonsmithError):
    """Nothing answers at the address."""


class RequestTimeoutError(TritonsmithError):
    """No answer came in time."""


class OverloadedError(TritonsmithError):
    """The server's queue is full. Nothing was computed; try again later, or send less at once."""


class InvalidInputError(TritonsmithError):
    """An input cannot be used. ``item`` is its position among the inputs given, where it is one of them."""

    def __init__(self, reason: str, *, item: int | None = None) -> None:
        self.reason, self.item = reason, item
        super().__init__(reason if item is None else f"item {item}: {reason}")

    def shifted(self, by: int) -> InvalidInputError:
        """The same error where the inputs are a part of a longer list that begins ``by`` items earlier."""
        return InvalidInputError(self.reason, item=None if self.item is None else self.item + by)


class ModelNotFoundError(TritonsmithError):
    """The server does not serve this model."""


class ServerError(TritonsmithError):
    """The server failed to answer; its log says why."""


def error_from_reply(status: str, message: str) -> TritonsmithError:
    """The error for what Triton replied.

    ``status`` is a gRPC status name (``UNAVAILABLE``) or an HTTP status code (``503``). Triton's two codes for "not now"
    hold three different things, which only the message tells apart.
    """
    message = _ENSEMBLE.sub("", message).strip()
    lowered = message.lower()
    if "maximum queue size" in lowered:
        return OverloadedError(message)
    if status == "UNAVAILABLE" and any(word in lowered for word in _UNREACHABLE):
        return ServerUnreachableError(message)
    if status == "DEADLINE_EXCEEDED" or "timeout expired" in lowered:
        return RequestTimeoutError(message)
    if status in ("NOT_FOUND", "404") or "unknown model" in lowered or "is not ready" in lowered:
        return ModelNotFoundError(message)
    if status in ("INVALID_ARGUMENT", "400"):
        found = _ITEM.search(message)
        return InvalidInputError(message[found.end() :], item=int(found[1])) if found else InvalidInputError(message)
    return ServerError(message)
