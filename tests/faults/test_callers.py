"""Callers that hang up, stop in the middle, talk nonsense or come in a crowd: all others are answered meanwhile."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from served import Served
from tritonsmith import Client
from tritonsmith_build.server.wire import LENGTH, Tensor

TEXT = "A delight from start to finish."
CONNECTIONS = 1000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)


NONSENSE = (b"\x00" * 1000, b"GET / HTTP/9\r\n\r\n", PREFACE, PREFACE + SETTINGS * 100, bytes(range(256)) * 40)


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def http_request(text: str) -> bytes:
    """A whole request to sentiment, as JSON."""
    body = b'{"inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["%s"]}]}' % text.encode()
    head = f"POST /v2/models/sentiment/infer HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextlib.contextmanager
def connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address(url), timeout=30)) for _ in range(count)]


@pytest.fixture
def others(fp32: Served) -> Iterator[None]:
    """Before and after, and over both protocols, everybody else is answered; and nothing had to be mended."""
    events = len(fp32.events)
    with Client(fp32.grpc) as grpc, Client(fp32.http) as http:
        right = grpc.pipeline("sentiment")(TEXT)
        yield
        for client in (grpc, http):
            answer = client.pipeline("sentiment")(TEXT)
            assert answer["label"] == right["label"] if isinstance(right, dict) else answer[0]["label"] == right[0]["label"]
    assert len(fp32.events) == events


@pytest.mark.usefixtures("others")
def test_one_that_hangs_up_before_its_answer(fp32: Served) -> None:
    for _ in range(50):
        with connections(fp32.http, 1) as (wire,):
            wire.sendall(http_request(TEXT))


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_one_that_stops_in_the_middle_of_a_request(fp32: Served, share: float) -> None:
    whole = http_request(TEXT * 100)
    with connections(fp32.http, 20) as wires:
        for wire in wires:
            wire.sendall(whole[: int(share * len(whole))])
        with Client(fp32.http) as client:
            assert client.pipeline("embeddings")(TEXT).shape == (1, 384)


@pytest.mark.usefixtures("others")
def test_one_that_says_its_head_is_longer_than_all(fp32: Served) -> None:
    body = Tensor.of_texts("TEXT", TEXT.encode()).raw
    lengths = f"{LENGTH}: 100000\r\nContent-Length: {len(body)}"
    head = f"POST /v2/models/sentiment/infer HTTP/1.1\r\nHost: here\r\n{lengths}\r\n\r\n"
    with connections(fp32.http, 1) as (wire,):
        wire.sendall(head.encode() + body)
        assert wire.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("words", NONSENSE)
def test_one_that_talks_nonsense(fp32: Served, words: bytes) -> None:
    for url in (fp32.http, fp32.grpc, fp32.health):
        with connections(url, 3) as wires:
            for wire in wires:
                with contextlib.suppress(OSError):  # hung up on, which is right
                    wire.sendall(words)


@pytest.mark.usefixtures("others")
def test_a_thousand_that_say_nothing(fp32: Served) -> None:
    with connections(fp32.http, CONNECTIONS), connections(fp32.grpc, 50), Client(fp32.http) as client:
        assert client.pipeline("embeddings")(TEXT).shape == (1, 384)
