from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from callers import ASYNC, SYNC, Caller
from fake_transport import Arrays, codes
from tritonsmith import AsyncClient, Client, InvalidInputError, ModelNotFoundError, OverloadedError, ServerError

PATIENCE = 10
"""Seconds until a test gives up waiting for what should happen at once."""


def numbered(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


def test_a_long_list_is_split_at_the_batch_size_and_answered_in_order(caller: Caller) -> None:
    wire = caller.transport(max_batch_size=3)
    (answer,) = caller("demo", numbered(8), transport=wire)
    assert answer[:, 0].tolist() == list(range(8))
    assert sorted(wire.sent) == [["t0", "t1", "t2"], ["t3", "t4", "t5"], ["t6", "t7"]]


@pytest.mark.parametrize(("texts", "sent"), [("t5", ["t5"]), (["t5"], ["t5"]), (numbered(3), numbered(3))])
def test_what_fits_is_sent_as_one_request(caller: Caller, texts: Any, sent: list[str]) -> None:
    wire = caller.transport(max_batch_size=3)
    caller("demo", texts, transport=wire)
    assert wire.sent == [sent]


def test_order_is_kept_when_the_first_request_is_answered_last() -> None:
    others = threading.Barrier(3)

    def answer(texts: list[str]) -> Arrays:
        if texts != ["t0"]:
            made = codes(texts)
            others.wait(PATIENCE)
            return made
        others.wait(PATIENCE)
        return codes(texts)

    (made,) = SYNC("demo", numbered(3), transport=SYNC.transport(answer, max_batch_size=1))
    assert made[:, 0].tolist() == [0, 1, 2]


def test_order_is_kept_when_the_first_request_is_answered_last_for_asyncio() -> None:
    answered: list[str] = []

    async def answer(texts: list[str]) -> Arrays:
        while texts == ["t0"] and len(answered) < 2:
            await asyncio.sleep(0)
        answered.extend(texts)
        return codes(texts)

    (made,) = ASYNC("demo", numbered(3), transport=ASYNC.transport(answer, max_batch_size=1))
    assert answered[-1] == "t0"
    assert made[:, 0].tolist() == [0, 1, 2]


class Crowd:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self._lock, self._inside, self.most = threading.Lock(), 0, 0

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_as_many_requests_as_allowed_are_under_way_at_once(concurrency: int) -> None:
    crowd, together = Crowd(), threading.Barrier(concurrency)

    def answer(texts: list[str]) -> Arrays:
        crowd.enter()
        together.wait(PATIENCE)
        crowd.leave()
        return codes(texts)

    wire = SYNC.transport(answer, max_batch_size=1)
    (made,) = SYNC("demo", numbered(concurrency * 8), transport=wire, concurrency=concurrency)
    assert crowd.most == concurrency
    assert made[:, 0].tolist() == list(range(concurrency * 8))


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_as_many_requests_as_allowed_are_under_way_at_once_for_asyncio(concurrency: int) -> None:
    crowd = Crowd()

    async def answer(texts: list[str]) -> Arrays:
        crowd.enter()
        for _ in range(20):
            await asyncio.sleep(0)
        crowd.leave()
        return codes(texts)

    wire = ASYNC.transport(answer, max_batch_size=1)
    (made,) = ASYNC("demo", numbered(concurrency * 4), transport=wire, concurrency=concurrency)
    assert crowd.most == concurrency
    assert made[:, 0].tolist() == list(range(concurrency * 4))


@pytest.mark.parametrize("bad", [0, 2, 4, 7], ids=lambda bad: f"item {bad}")
def test_a_bad_item_is_named_by_its_place_in_the_whole_list(caller: Caller, bad: int) -> None:
    def answer(texts: list[str]) -> Arrays:
        if f"t{bad}" in texts:
            raise InvalidInputError("the text is empty; leave it out", item=texts.index(f"t{bad}"))
        return codes(texts)

    with pytest.raises(InvalidInputError) as caught:
        caller("demo", numbered(8), transport=caller.transport(answer, max_batch_size=3))
    assert (caught.value.item, caught.value.reason) == (bad, "the text is empty; leave it out")
    assert str(caught.value) == f"item {bad}: the text is empty; leave it out"


@pytest.mark.parametrize("count", [1, 3], ids=["one request", "three requests"])
def test_the_first_error_is_raised(caller: Caller, count: int) -> None:
    def answer(texts: list[str]) -> Arrays:
        raise OverloadedError(f"no room for {texts}")

    with pytest.raises(OverloadedError, match=r"^no room for \['t0'\]$"):
        caller("demo", numbered(count), transport=caller.transport(answer, max_batch_size=1))


def test_requests_that_wait_behind_a_failed_one_are_not_sent() -> None:
    given_up = threading.Event()

    def answer(texts: list[str]) -> Arrays:
        if texts == ["t0"]:
            raise OverloadedError("full")
        assert given_up.wait(PATIENCE)
        return codes(texts)

    wire = SYNC.transport(answer, max_batch_size=1)
    with Client(transport=wire, concurrency=1) as client:
        pipe = client.pipeline("demo")
        with pytest.raises(OverloadedError):
            pipe(numbered(6))
        given_up.set()
        pipe(["t8", "t9"])
    under_way_already = [["t1"]] if ["t1"] in wire.sent else []
    assert wire.sent == [["t0"], *under_way_already, ["t8"], ["t9"]]


def test_requests_beside_a_failed_one_are_cancelled_for_asyncio() -> None:
    cancelled: list[str] = []

    async def answer(texts: list[str]) -> Arrays:
        if texts == ["t0"]:
            raise OverloadedError("full")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.extend(texts)
            raise
        raise AssertionError("nobody sets that event")

    async def call() -> None:
        async with AsyncClient(transport=wire, concurrency=3) as client:
            pipe = await client.pipeline("demo")
            with pytest.raises(OverloadedError):
                await pipe(numbered(6))
            while [["t0"], *([text] for text in cancelled)] != wire.sent:
                await asyncio.sleep(0)

    wire = ASYNC.transport(answer, max_batch_size=1)
    asyncio.run(asyncio.wait_for(call(), PATIENCE))
    assert 1 < len(wire.sent) < 6


@pytest.mark.parametrize("texts", [[], b"x", {"t0": 1}, ["t0", 5], ["t0", "\ud83d"]], ids=repr)
def test_what_is_no_text_is_refused_before_anything_is_sent(caller: Caller, texts: Any) -> None:
    wire = caller.transport()
    with pytest.raises(InvalidInputError):
        caller("demo", texts, transport=wire)
    assert wire.sent == []


@pytest.mark.parametrize("texts", ["t5", ["t5"]], ids=["a text", "a list"])
def test_an_embedding_is_a_row_of_an_array(caller: Caller, texts: Any) -> None:
    (made,) = caller("demo", texts, transport=caller.transport())
    assert isinstance(made, np.ndarray)
    assert made.tolist() == [[5, 1]]


def test_a_missing_model_is_told_when_the_pipeline_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object, model: str, timeout: float) -> Any:
        raise ModelNotFoundError(f"Request for unknown model: '{model}' is not found")

    monkeypatch.setattr(SYNC.transport, "config", missing)
    with Client(transport=SYNC.transport()) as client, pytest.raises(ModelNotFoundError, match="'nope'"):
        client.pipeline("nope")


def test_a_model_that_is_no_pipeline_is_told_when_the_pipeline_is_made(caller: Caller) -> None:
    wire = caller.transport(config={"max_batch_size": 4})
    with pytest.raises(ServerError, match=r"^demo is no pipeline"):
        caller("demo", transport=wire)
    assert wire.closed == 1


def test_connections_are_closed_at_the_end_of_the_with_block(caller: Caller) -> None:
    wire = caller.transport()
    caller("demo", "t0", transport=wire)
    assert wire.closed == 1


def test_connections_are_closed_after_an_error_too(caller: Caller) -> None:
    wire = caller.transport()
    with pytest.raises(InvalidInputError):
        caller("demo", [], transport=wire)
    assert wire.closed == 1


def test_an_async_client_that_was_never_used_can_be_closed() -> None:
    asyncio.run(AsyncClient("grpc://localhost:1").close())


def test_one_client_serves_many_threads() -> None:
    made: dict[int, Any] = {}
    with Client(transport=SYNC.transport(max_batch_size=2), concurrency=3) as client:
        pipe = client.pipeline("demo")

        def work(first: int) -> None:
            made[first] = pipe([f"t{number}" for number in range(first, first + 7)])[:, 0].tolist()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 80, 10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert made == {first: list(range(first, first + 7)) for first in range(0, 80, 10)}
