"""What is sent again, how often, after which waits, and within which time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from callers import Caller
from fake_transport import Arrays, codes
from test_client_import import loaded_by
from tritonsmith import (
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    RequestTimeoutError,
    Retry,
    ServerError,
    ServerUnreachableError,
    TritonsmithError,
)
from tritonsmith.retrying import AsyncAttempts, Attempts

AT_ONCE = Retry(attempts=4, first_wait=0)
SAFE = [ServerUnreachableError, OverloadedError]
FINAL = [InvalidInputError, RequestTimeoutError, ServerError, ModelNotFoundError]


def failing(times: int, error: TritonsmithError) -> Callable[[list[str]], Arrays]:
    """A server that raises for the first ``times`` requests and answers the others."""
    asked: list[list[str]] = []

    def answer(texts: list[str]) -> Arrays:
        asked.append(texts)
        if len(asked) <= times:
            raise error
        return codes(texts)

    return answer


@pytest.mark.parametrize("kind", SAFE)
def test_what_was_not_computed_is_sent_again(caller: Caller, kind: type[TritonsmithError]) -> None:
    wire = caller.transport(failing(3, kind("not now")))
    (answer,) = caller("demo", "t7", transport=wire, retry=AT_ONCE)
    np.testing.assert_array_equal(answer, [[7, 1]])
    assert wire.sent == [["t7"]] * 4


@pytest.mark.parametrize("kind", FINAL)
def test_what_would_fail_again_or_has_no_time_left_is_not(caller: Caller, kind: type[TritonsmithError]) -> None:
    wire = caller.transport(failing(1, kind("no")))
    with pytest.raises(kind):
        caller("demo", "t7", transport=wire, retry=AT_ONCE)
    assert wire.sent == [["t7"]]


@pytest.mark.parametrize("kind", SAFE)
def test_nothing_is_sent_again_unless_it_is_asked_for(caller: Caller, kind: type[TritonsmithError]) -> None:
    wire = caller.transport(failing(1, kind("not now")))
    with pytest.raises(kind):
        caller("demo", "t7", transport=wire)
    assert wire.sent == [["t7"]]


def test_the_last_attempts_error_is_raised_as_it_is(caller: Caller) -> None:
    errors: list[TritonsmithError] = [ServerUnreachableError("first"), OverloadedError("second"), OverloadedError("third")]
    raised = iter(errors)

    def answer(_: list[str]) -> Any:
        raise next(raised)

    with pytest.raises(OverloadedError) as caught:
        caller("demo", "t1", transport=caller.transport(answer), retry=Retry(attempts=3, first_wait=0))
    assert caught.value is errors[2]


def test_each_request_of_a_call_is_sent_again_by_itself(caller: Caller) -> None:
    refused: set[str] = set()

    def answer(texts: list[str]) -> Arrays:
        if texts[0] in {"t0", "t6"} - refused:
            refused.add(texts[0])
            raise OverloadedError("full")
        return codes(texts)

    wire = caller.transport(answer)
    (rows,) = caller("demo", [f"t{index}" for index in range(8)], transport=wire, retry=AT_ONCE)
    assert rows[:, 0].tolist() == list(range(8))
    first, second, third = ["t0", "t1", "t2"], ["t3", "t4", "t5"], ["t6", "t7"]
    assert sorted(wire.sent) == [first, first, second, third, third]


def test_the_first_question_what_a_pipeline_is_is_asked_again_too(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    wire, configured = caller.transport(), caller.transport._configured
    starting = iter([ServerUnreachableError("it starts"), OverloadedError("and is full")])

    def config(self: Any, model: str, timeout: float) -> Any:
        for error in starting:
            raise error
        return configured(self, model, timeout)

    monkeypatch.setattr(caller.transport, "_configured", config)
    caller("demo", transport=wire, retry=AT_ONCE)


def test_each_attempt_has_what_is_left_of_the_timeout(caller: Caller) -> None:
    wire = caller.transport(failing(2, OverloadedError("full")))
    caller("demo", "t1", transport=wire, timeout=5.0, retry=Retry(first_wait=0.001))
    _, *attempts = wire.timeouts
    assert len(attempts) == 3
    assert 5.0 >= attempts[0] > attempts[1] > attempts[2] > 0


def test_all_requests_of_a_client_have_one_budget(caller: Caller) -> None:
    def answer(texts: list[str]) -> Arrays:
        if texts == ["t2"] or wire.sent.count(texts) < 4:
            raise OverloadedError("full")
        return codes(texts)

    wire = caller.transport(answer)
    with pytest.raises(OverloadedError):
        caller("demo", "t1", "t2", transport=wire, retry=Retry(attempts=100, first_wait=0, share=0, reserve=5))
    assert wire.sent == [["t1"]] * (1 + 3) + [["t2"]] * (1 + 2)


def test_an_attempt_that_is_not_made_takes_nothing_from_the_budget() -> None:
    sent = []

    def send(left: float) -> None:
        sent.append(left)
        raise OverloadedError("full")

    attempts = Attempts(Retry(attempts=2, first_wait=0, share=0, reserve=2), timeout=60)
    for _ in range(2):
        with pytest.raises(OverloadedError):
            attempts(send)
    assert len(sent) == 2 * 2


@dataclass
class Course:
    """Time that passes only where somebody sleeps: when attempts began, the time they were given, and the sleeps."""

    oversleep: float = 0.0
    now: float = 100.0
    began: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.oversleep

    def refused(self, kind: str, retry: Retry, timeout: float) -> None:
        """A request of a ``Client`` or ``AsyncClient`` that is refused every time."""

        def send(left: float) -> None:
            self.began.append(self.now)
            self.given.append(left)
            raise OverloadedError("full")

        async def asend(left: float) -> None:
            send(left)

        async def asleep(seconds: float) -> None:
            self.sleep(seconds)

        def ask() -> None:
            if kind == "Client":
                Attempts(retry, timeout, clock=lambda: self.now, sleep=self.sleep)(send)
            else:
                asyncio.run(AsyncAttempts(retry, timeout, clock=lambda: self.now, sleep=asleep)(asend))

        with pytest.raises(OverloadedError, match="full"):
            ask()


def test_waits_grow_twofold_at_most_and_differ(caller: Caller) -> None:
    courses = [Course() for _ in range(50)]
    for course in courses:
        course.refused(caller.name, Retry(attempts=6, first_wait=1, longest_wait=5), timeout=1000)
    for wait, longest in enumerate([1, 2, 4, 5, 5]):
        waits = [course.slept[wait] for course in courses]
        assert all(0 <= seconds <= longest for seconds in waits)
        assert len(set(waits)) == len(waits)
        assert max(waits) > longest / 2 > min(waits)  # 50 even draws all fall into one half once in 2**49
    assert all(len(course.slept) == 5 for course in courses)


def test_no_attempt_begins_after_the_deadline_and_no_sleep_is_for_nothing(caller: Caller) -> None:
    course = Course()
    course.refused(caller.name, Retry(attempts=10_000, first_wait=1, longest_wait=1, reserve=10_000), timeout=20)
    assert len(course.began) > 20  # waits are half a second on average
    assert course.began[-1] < 120
    assert course.given == [pytest.approx(120 - began) for began in course.began]
    assert len(course.slept) == len(course.began) - 1


def test_who_sleeps_too_long_makes_no_attempt_any_more(caller: Caller) -> None:
    course = Course(oversleep=60)
    course.refused(caller.name, AT_ONCE, timeout=30)
    assert (course.began, course.slept) == ([100.0], [0.0])


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"first_wait": -1}, {"longest_wait": float("nan")}, {"share": -0.1}, {"reserve": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_numbers_that_make_no_sense_are_refused_by_name(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"^retry: {name} must be at least \d, not {value}$"):
        Retry(**wrong)


def test_the_library_is_loaded_only_where_a_request_may_be_sent_again() -> None:
    assert "tenacity" not in loaded_by("import tritonsmith; tritonsmith.Client('http://localhost', retry=tritonsmith.Retry())")
    asking = "from tritonsmith.retrying import Attempts, Retry; Attempts(Retry(), 1.0)(print)"
    assert "tenacity" in loaded_by(asking)
