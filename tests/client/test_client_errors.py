from __future__ import annotations

import pytest
import tritonsmith
from tritonsmith import (
    InvalidInputError,
    ModelNotFoundError,
    NotAllowedError,
    OverloadedError,
    RequestTimeoutError,
    ServerError,
    ServerUnreachableError,
    TritonsmithError,
)
from tritonsmith.errors import error_from_reply

EMPTY = "in ensemble 'sentiment', item 3: the text is empty; leave it out"
# What Triton says over gRPC and over HTTP, and what gRPC itself says.
REPLIES = {
    "full queue, gRPC": ("UNAVAILABLE", "Exceeds maximum queue size", OverloadedError),
    "full queue, HTTP": ("503", "Exceeds maximum queue size", OverloadedError),
    "full queue of a step": ("UNAVAILABLE", "in ensemble 'sentiment', Exceeds maximum queue size", OverloadedError),
    "queued too long, gRPC": ("UNAVAILABLE", "Request timeout expired", RequestTimeoutError),
    "queued too long, HTTP": ("503", "Request timeout expired", RequestTimeoutError),
    "queued too long in a step": ("UNAVAILABLE", "in ensemble 'sentiment', Request timeout expired", RequestTimeoutError),
    "no answer, gRPC": ("DEADLINE_EXCEEDED", "Deadline Exceeded", RequestTimeoutError),
    "unknown, gRPC": ("NOT_FOUND", "Request for unknown model: 'nope' is not found", ModelNotFoundError),
    "unknown, HTTP": ("400", "Request for unknown model: 'nope' is not found", ModelNotFoundError),
    "unknown, HTTP 404": ("404", "Request for unknown model: 'nope' is not found", ModelNotFoundError),
    "no version": ("UNAVAILABLE", "Request for unknown model: 'nope' has no available versions", ModelNotFoundError),
    "bad text, gRPC": (
        "INVALID_ARGUMENT",
        "in ensemble 'sentiment', item 3: the text is empty; leave it out",
        InvalidInputError,
    ),
    "bad text, HTTP": ("400", EMPTY, InvalidInputError),
    "bad request": ("INVALID_ARGUMENT", "inference request batch-size must be <= 32 for 'sentiment'", InvalidInputError),
    "a step failed, gRPC": ("INTERNAL", "in ensemble 'sentiment', the embed step failed; see the log", ServerError),
    "a step failed, HTTP": ("500", "in ensemble 'sentiment', the embed step failed; see the log", ServerError),
    "going down": (
        "UNAVAILABLE",
        "Server is stopping, scheduler for model has stopped accepting new inference requests",
        ServerError,
    ),
    "item of a failed step": ("INTERNAL", "item 3: disk full", ServerError),
    "refused": (
        "UNAVAILABLE",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9: Failed to connect to remote host: "
        "Connection refused",
        ServerUnreachableError,
    ),
    "no such host": ("UNAVAILABLE", "DNS resolution failed for nowhere:8001: Domain name not found", ServerUnreachableError),
    "hung up": ("UNAVAILABLE", "Socket closed", ServerUnreachableError),
    "too often, HTTP": ("429", "more requests than 2 a second; try again later", OverloadedError),
    "too often, gRPC": ("UNAVAILABLE", "Received http2 header with status: 429", OverloadedError),
    "no key, HTTP": ("401", "a key is needed", NotAllowedError),
    "no key, gRPC": ("UNAUTHENTICATED", "Received http2 header with status: 401", NotAllowedError),
    "forbidden, HTTP": ("403", "Forbidden", NotAllowedError),
    "forbidden, gRPC": ("PERMISSION_DENIED", "Received http2 header with status: 403", NotAllowedError),
    "too large": ("413", "the request is larger than 16m", InvalidInputError),
    "only a proxy, HTTP": ("502", "Triton does not answer", ServerUnreachableError),
    "only a proxy, gRPC": ("UNAVAILABLE", "Received http2 header with status: 502", ServerUnreachableError),
    "nothing said": ("", "", ServerError),
}


@pytest.mark.parametrize(("status", "message", "kind"), REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_becomes_the_error_that_says_what_to_do(status: str, message: str, kind: type[TritonsmithError]) -> None:
    error = error_from_reply(status, message)
    assert type(error) is kind
    assert str(error) == message.removeprefix("in ensemble 'sentiment', ")


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "400"], ids=["gRPC", "HTTP"])
def test_the_bad_item_is_a_number_and_its_reason_apart(status: str) -> None:
    error = error_from_reply(status, "in ensemble 'sentiment', item 31: the text is empty; leave it out")
    assert isinstance(error, InvalidInputError)
    assert (error.item, error.reason) == (31, "the text is empty; leave it out")


def test_an_input_error_without_an_item_names_none() -> None:
    error = error_from_reply("400", "expected 1 inputs but got 2")
    assert isinstance(error, InvalidInputError)
    assert (error.item, error.reason) == (None, "expected 1 inputs but got 2")


@pytest.mark.parametrize(("item", "shifted"), [(3, 35), (0, 32), (None, None)], ids=["item 3", "item 0", "no item"])
def test_a_part_of_a_longer_list_counts_from_the_lists_beginning(item: int | None, shifted: int | None) -> None:
    error = InvalidInputError("the text is empty", item=item).shifted(32)
    assert (error.item, error.reason) == (shifted, "the text is empty")
    assert str(error) == ("the text is empty" if shifted is None else f"item {shifted}: the text is empty")


def test_one_except_clause_catches_every_error() -> None:
    kinds = [getattr(tritonsmith, name) for name in tritonsmith.__all__ if name.endswith("Error")]
    assert len(kinds) == 8
    assert all(issubclass(kind, TritonsmithError) for kind in kinds)
