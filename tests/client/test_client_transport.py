"""All four transports over real sockets of this machine."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import grpc
import pytest
from callers import Caller
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_triton import UNKNOWN, Classes, Refusal, TinyPipeline, grpc_server, http_server
from tritonclient.http import InferenceServerClient
from tritonsmith import (
    AsyncClient,
    Client,
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    RequestTimeoutError,
    Retry,
    ServerError,
    ServerUnreachableError,
)
from wild_text import any_text

PATIENCE = 10
"""Seconds until a server gives up waiting for its test to end."""

Serve = Callable[[TinyPipeline], AbstractContextManager[str]]


@pytest.fixture(scope="module", params=[grpc_server, http_server], ids=["gRPC", "HTTP"])
def serve(request: pytest.FixtureRequest) -> Serve:
    made: Serve = request.param
    return made


def echo(texts: list[bytes]) -> Classes:
    """Each text's own words as its likeliest class, its length in bytes as the score."""
    return [[(text, float(len(text))), ("ander 😊".encode(), -1.0)] for text in texts]


@settings(deadline=None, max_examples=15)
@given(texts=st.lists(any_text, min_size=1, max_size=12))
def test_any_text_arrives_and_returns_as_it_is(caller: Caller, serve: Serve, texts: list[str]) -> None:
    with serve(TinyPipeline(echo)) as url:
        (answer,) = caller("demo", texts, url=url, options={"top_k": 2}, concurrency=3)
    other = {"label": "ander 😊", "score": -1.0}
    assert answer == [[{"label": text, "score": len(text.encode())}, other] for text in texts]


def test_one_connection_takes_many_calls(caller: Caller, serve: Serve) -> None:
    with serve(TinyPipeline(echo)) as url:
        answers = caller("demo", "a", ["b"] * 30, "c", url=url)
    assert [[entry["label"] for entry in answer] for answer in answers] == [["a"], ["b"] * 30, ["c"]]


def test_requests_on_their_way_at_once_do_not_share_their_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    both_are_ready, post = threading.Barrier(2), InferenceServerClient._post

    def together(self: InferenceServerClient, **request: Any) -> Any:
        both_are_ready.wait(PATIENCE)  # so each has written what it will into its headers
        return post(self, **request)

    monkeypatch.setattr(InferenceServerClient, "_post", together)
    texts = ["short", "long " * 200]  # whose lengths have different numbers of digits
    with http_server(TinyPipeline(echo, max_batch_size=1)) as url, Client(url, concurrency=2) as client:
        assert [answer["label"] for answer in client.pipeline("demo")(texts)] == texts


def test_headers_go_with_every_request(caller: Caller, serve: Serve) -> None:
    served = TinyPipeline(echo, max_batch_size=1)
    with serve(served) as url:
        caller("demo", ["a", "b"], url=url, headers={"authorization": "Bearer token"})
    assert [headers.get("authorization") for headers in served.headers] == ["Bearer token"] * 3


def test_the_server_is_told_how_long_an_answer_is_waited_for(caller: Caller, serve: Serve) -> None:
    served = TinyPipeline(echo, max_batch_size=1)
    with serve(served) as url:
        caller("demo", ["a", "b"], url=url, timeout=2.5)
    assert served.timeouts == [2_500_000] * 2


def test_each_attempt_is_given_the_time_that_is_left(caller: Caller, serve: Serve) -> None:
    def answer(texts: list[bytes]) -> Classes:
        if len(served.timeouts) < 3:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, 503, "Exceeds maximum queue size")
        return echo(texts)

    served = TinyPipeline(answer)
    with serve(served) as url:
        (answered,) = caller("demo", "a", url=url, timeout=10, retry=Retry(first_wait=0.001))
    assert answered == [{"label": "a", "score": 1.0}]
    first, second, third = served.timeouts
    assert 10_000_000 >= first > second > third > 0


def test_an_unknown_model_is_not_found(caller: Caller, serve: Serve) -> None:
    with serve(TinyPipeline(echo)) as url, pytest.raises(ModelNotFoundError) as caught:
        caller("nope", url=url)
    assert str(caught.value) == UNKNOWN


REFUSALS = {
    "full": (grpc.StatusCode.UNAVAILABLE, 503, "Exceeds maximum queue size", OverloadedError),
    "late": (grpc.StatusCode.UNAVAILABLE, 503, "Request timeout expired", RequestTimeoutError),
    "failed": (grpc.StatusCode.INTERNAL, 500, "the embed step failed; the server's log says why", ServerError),
}


@pytest.mark.parametrize(("code", "status", "message", "kind"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("texts", ["a", ["a"] * 9], ids=["one request", "three requests"])
def test_what_the_server_refuses_is_told_by_its_error(
    caller: Caller, serve: Serve, texts: Any, code: grpc.StatusCode, status: int, message: str, kind: type[Exception]
) -> None:
    def answer(_: list[bytes]) -> Classes:
        raise Refusal(code, status, f"in ensemble 'demo', {message}")

    with serve(TinyPipeline(answer)) as url, pytest.raises(kind) as caught:
        caller("demo", texts, url=url)
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_a_text_the_server_refuses_is_named_by_its_place_in_the_whole_list(caller: Caller, serve: Serve) -> None:
    def answer(texts: list[bytes]) -> Classes:
        if b"" in texts:
            what = f"in ensemble 'demo', item {texts.index(b'')}: the text is empty; leave it out"
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, 400, what)
        return echo(texts)

    with serve(TinyPipeline(answer, max_batch_size=4)) as url, pytest.raises(InvalidInputError) as caught:
        caller("demo", [*"abcdef", "", *"gh"], url=url)
    assert (caught.value.item, caught.value.reason) == (6, "the text is empty; leave it out")


@contextmanager
def dead_port() -> Iterator[int]:
    """A port that is taken, so that no one else opens it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where connections are made and nothing is said, until a client has had all patience and is hung up on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        hang_up = threading.Timer(PATIENCE, listening.close)
        hang_up.start()
        try:
            yield listening.getsockname()[1]
        finally:
            hang_up.cancel()


@contextmanager
def dripping_port(over: threading.Event) -> Iterator[int]:
    """A port that answers a byte of a header at a time, each soon after the last, until ``over`` or out of patience."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(PATIENCE * 20):
                    if over.wait(0.05):
                        return
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "http", "https"])
def test_a_port_where_nobody_listens_is_unreachable(caller: Caller, scheme: str) -> None:
    with dead_port() as port, pytest.raises(ServerUnreachableError, match=str(port)):
        caller("demo", url=f"{scheme}://127.0.0.1:{port}", timeout=10)


@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "http", "https"])
def test_a_server_that_never_answers_is_given_up_on(caller: Caller, scheme: str) -> None:
    with silent_port() as port, pytest.raises(RequestTimeoutError):
        caller("demo", url=f"{scheme}://127.0.0.1:{port}", timeout=0.3)


def test_an_answer_that_never_comes_is_given_up_on(caller: Caller, serve: Serve) -> None:
    over = threading.Event()

    def answer(texts: list[bytes]) -> Classes:
        over.wait(PATIENCE)
        return echo(texts)

    with serve(TinyPipeline(answer)) as url:
        try:
            with pytest.raises(RequestTimeoutError):
                caller("demo", "a", url=url, timeout=0.3)
        finally:
            over.set()


def test_over_grpc_the_server_is_told_of_a_cancelled_call() -> None:
    began, told = threading.Event(), threading.Event()

    def answer(texts: list[bytes]) -> Classes:
        began.set()
        if served.hung_up.wait(PATIENCE):
            told.set()
        return echo(texts)

    async def cancel(url: str) -> None:
        async with AsyncClient(url) as client:
            call = asyncio.create_task((await client.pipeline("demo"))("a"))
            assert await asyncio.to_thread(began.wait, PATIENCE)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(told.wait, PATIENCE / 2)

    served = TinyPipeline(answer)
    with grpc_server(served) as url:
        asyncio.run(cancel(url))


def test_a_connection_serves_again_after_an_answer_that_came_too_late(serve: Serve) -> None:
    may_answer = threading.Event()

    def answer(texts: list[bytes]) -> Classes:
        if texts == [b"late"]:
            may_answer.wait(PATIENCE)
        return echo(texts)

    with serve(TinyPipeline(answer)) as url, Client(url, timeout=1.0) as client:
        pipe = client.pipeline("demo")
        try:
            with pytest.raises(RequestTimeoutError):
                pipe("late")
            assert pipe("next") == [{"label": "next", "score": 4.0}]
        finally:
            may_answer.set()


def test_an_answer_that_comes_in_drops_is_given_up_on_all_the_same(caller: Caller) -> None:
    over = threading.Event()
    with dripping_port(over) as port:
        try:
            with pytest.raises(RequestTimeoutError):
                caller("demo", url=f"http://127.0.0.1:{port}", timeout=0.5)
        finally:
            over.set()
