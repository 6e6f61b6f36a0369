"""What the server's log calls a request: the caller's own name for it or one by chance, on errors and retries too."""

from __future__ import annotations

import re
from typing import Any

import pytest
from callers import Caller
from fake_transport import Arrays, codes
from tritonsmith import OverloadedError, Retry


def test_a_request_is_called_as_its_caller_says_and_several_are_numbered(caller: Caller) -> None:
    wire = caller.transport(max_batch_size=3)
    caller("demo", "t0", ["t0", "t1", "t2", "t3"], transport=wire, options={"request_id": "order-17"})
    assert sorted(wire.ids) == ["order-17", "order-17-0", "order-17-1"]


def test_one_that_nobody_names_gets_a_name_that_no_other_has(caller: Caller) -> None:
    wire = caller.transport(max_batch_size=1)
    caller("demo", ["t0", "t1", "t2"], ["t0", "t1"], transport=wire)
    assert len(set(wire.ids)) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in wire.ids)


@pytest.mark.parametrize("given", ["", "x" * 101, "two\nlines"])
def test_what_is_no_name_is_refused_before_anything_is_sent(caller: Caller, given: str) -> None:
    wire = caller.transport()
    with pytest.raises(ValueError, match="request_id must be 1 to 100 printable characters"):
        caller("demo", "t0", transport=wire, options={"request_id": given})
    assert wire.sent == []


def test_an_error_says_which_request_it_was_and_a_retry_keeps_the_name(caller: Caller) -> None:
    def refuse(texts: list[str]) -> Arrays:
        if texts == ["t1"]:
            raise OverloadedError("full")
        return codes(texts)

    wire: Any = caller.transport(refuse, max_batch_size=1)
    retry = Retry(attempts=3, first_wait=0)
    with pytest.raises(OverloadedError) as caught:
        caller("demo", ["t0", "t1"], transport=wire, retry=retry, options={"request_id": "mine"})
    assert caught.value.request_id == "mine-1"
    assert wire.ids.count("mine-1") == 3
