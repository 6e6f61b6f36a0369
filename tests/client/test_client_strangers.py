"""Servers that are no Triton, addresses that are none, and options that are refused before anything is sent."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from callers import Caller
from fake_transport import FakeAsyncTransport
from tritonsmith import AsyncClient, Client, ServerError, ServerUnreachableError, TritonsmithError
from tritonsmith.calls import encode_texts
from tritonsmith.errors import InvalidInputError, error_from_reply


@contextmanager
def port_that_says(reply: bytes) -> Iterator[int]:
    """A port that reads a request, says the same to everyone and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(reply)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield listening.getsockname()[1]


STRANGERS = {
    "hangs up": (b"", ServerUnreachableError),
    "speaks no HTTP": (b"220 mail.example.org ESMTP\r\n", TritonsmithError),
    "a web page": (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>", ServerError),
    "a body cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", TritonsmithError),
}


@pytest.mark.parametrize(("reply", "kind"), STRANGERS.values(), ids=STRANGERS.keys())
def test_what_is_no_triton_is_told_by_an_error_of_ours(caller: Caller, reply: bytes, kind: type[Exception]) -> None:
    with port_that_says(reply) as port, pytest.raises(kind):
        caller("demo", url=f"http://127.0.0.1:{port}", timeout=5)


def test_a_host_that_grpc_cannot_resolve_is_unreachable() -> None:
    said = (
        "errors resolving nowhere:1: [field:hostname lookup error:address lookup failed for nowhere:1: Domain name not found]"
    )
    assert type(error_from_reply("UNAVAILABLE", said)) is ServerUnreachableError


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["grpc://localhost:99999", "grpc://localhost:port", "http://[::1"])
def test_a_port_or_host_that_cannot_be_is_shown(kind: Any, url: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(url))):
        kind(url)


def test_no_concurrency_is_refused_for_asyncio_as_for_threads() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        AsyncClient(transport=FakeAsyncTransport(), concurrency=0)


def test_an_array_without_a_dimension_is_no_list() -> None:
    with pytest.raises(InvalidInputError):
        encode_texts(np.array("x"), 3)


def test_options_are_checked_before_anything_is_sent(caller: Caller) -> None:
    wire = caller.transport(task="text-classification")
    with pytest.raises(InvalidInputError):
        caller("demo", "t0", transport=wire, options={"top_k": 0})
    assert wire.sent == []
