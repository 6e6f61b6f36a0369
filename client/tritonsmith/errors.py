"""What can go wrong, drawn as a tree.

TritonsmithError
├── ServerUnreachableError   nothing answers at that address
├── RequestTimeoutError      no answer in time, from the network or from the server's queue
├── OverloadedError          the server's queue is full; the request was refused at once and may be sent again
├── InvalidInputError        one of the inputs cannot be used; ``item`` says which
├── NotAllowedError          a key is missing, or wrong
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

    request_id: str | None = None
    """What the server's log calls the request, where one was sent."""


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


class NotAllowedError(TritonsmithError):
    """The server, or the proxy before it, wants a key, or another one: give it in the client's ``headers``."""


class ServerError(TritonsmithError):
    """The server failed to answer; its log says why."""


_REPLIES: tuple[tuple[type[TritonsmithError], tuple[str, ...], tuple[str, ...]], ...] = (
    (OverloadedError, ("429",), ("maximum queue size", "status: 429")),
    (NotAllowedError, ("401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"), ()),
    (ServerUnreachableError, ("502",), ("status: 502",)),
    (RequestTimeoutError, ("DEADLINE_EXCEEDED",), ("timeout expired",)),
    (ModelNotFoundError, ("404", "NOT_FOUND"), ("unknown model", "is not ready")),
    (InvalidInputError, ("400", "413", "INVALID_ARGUMENT"), ()),
)
"""The first whose status or words are in a reply. 401, 403, 413, 429 and 502 come from a proxy too; gRPC makes UNAVAILABLE of
the last two, and says which in the message."""


def error_from_reply(status: str, message: str) -> TritonsmithError:
    """The error for what Triton replied, or a proxy before it.

    ``status`` is a gRPC status name (``UNAVAILABLE``) or an HTTP status code (``503``). Triton's two codes for "not now"
    hold three different things, which only the message tells apart.
    """
    message = _ENSEMBLE.sub("", message).strip()
    lowered = message.lower()
    if status == "UNAVAILABLE" and any(word in lowered for word in _UNREACHABLE):
        return ServerUnreachableError(message)
    kinds = (kind for kind, statuses, words in _REPLIES if status in statuses or any(word in lowered for word in words))
    kind = next(kinds, ServerError)
    if kind is InvalidInputError and (found := _ITEM.search(message)):
        return InvalidInputError(message[found.end() :], item=int(found[1]))
    return kind(message)
