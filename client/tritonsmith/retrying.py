"""Sending a request again: when, how often, and within which time. The loop is tenacity's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tritonsmith.errors import OverloadedError, ServerUnreachableError
from tritonsmith.retry_budget import RetryBudget

if TYPE_CHECKING:
    from tenacity import RetryCallState

RETRIED = (ServerUnreachableError, OverloadedError)
"""No answer was computed for these, or none that anyone waits for, and the next attempt may meet another server or a shorter
queue. The other errors would come again, or, as a timeout, leave no time to try."""

Clock = Callable[[], float]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """Which requests a client sends again: those refused by a full queue (OverloadedError) and those that reach no server.

    Raises ValueError for numbers that make no sense.
    """

    attempts: int = 4
    """How often a request is sent at most, the first time included."""
    first_wait: float = 0.5
    """Seconds. The wait before the n-th retry is drawn evenly from 0 to ``first_wait * 2**(n - 1)``. gRPC itself tries a lost
    connection anew about a second after it failed; retries before that fail at once."""
    longest_wait: float = 5.0
    """Seconds that no wait exceeds."""
    share: float = 0.1
    """Retries that each request entitles to. In the long run a client sends at most this share more than it is asked to."""
    reserve: int = 10
    """Retries that a client may make at once before the share alone counts; at least 1, and the most that can be saved up."""

    def __post_init__(self) -> None:
        least = {"attempts": 1, "first_wait": 0, "longest_wait": 0, "share": 0, "reserve": 1}
        for name, number in least.items():
            if not getattr(self, name) >= number:
                raise ValueError(f"retry: {name} must be at least {number}, not {getattr(self, name)}")


class _Attempts:
    """What both kinds of client share: the policy, the client's one budget and its requests' time in seconds."""

    def __init__(self, retry: Retry | None, timeout: float, clock: Clock = time.monotonic) -> None:
        self._retry, self._timeout, self._clock = retry, timeout, clock
        self._budget = RetryBudget(retry.share, retry.reserve) if retry else None

    def _begun(self) -> _Request | None:
        """A request's attempts from now on; None where there is only one."""
        if self._retry is None or self._budget is None:
            return None
        self._budget.count_request()
        return _Request(self._retry, self._budget, self._clock, self._clock() + self._timeout)


@dataclass
class _Request:
    """The attempts at one request."""

    retry: Retry
    budget: RetryBudget
    clock: Clock
    deadline: float
    refusal: BaseException | None = None

    def left(self) -> float:
        """Seconds to the deadline. Past it, as a sleep may end late, it raises what the last attempt did: none begins then."""
        left = self.deadline - self.clock()
        if left <= 0 and self.refusal is not None:
            raise self.refusal
        return left

    def ends(self, state: RetryCallState) -> bool:
        """Whether the attempt that just failed was the last. The budget comes last: what it gives, it has given."""
        self.refusal = state.outcome.exception() if state.outcome else None
        return (
            state.attempt_number >= self.retry.attempts
            or self.clock() + state.upcoming_sleep >= self.deadline
            or not self.budget.take_retry()
        )

    def policy(self) -> dict[str, Any]:
        """For tenacity."""
        from tenacity import retry_if_exception_type, wait_random_exponential  # not loaded where no retry is asked for

        wait = wait_random_exponential(multiplier=self.retry.first_wait, max=self.retry.longest_wait)
        return {"retry": retry_if_exception_type(RETRIED), "wait": wait, "stop": self.ends, "reraise": True}


class Attempts(_Attempts):
    """Makes requests, each a function of the seconds left to it, and again as ``retry`` says, within ``timeout`` seconds.

    Raises what the last attempt raised.
    """

    def __init__(
        self,
        retry: Retry | None,
        timeout: float,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(retry, timeout, clock)
        self._sleep = sleep

    def __call__(self, send: Callable[[float], Answer]) -> Answer:
        """The answer of ``send``."""
        request = self._begun()
        if request is None:
            return send(self._timeout)
        from tenacity import Retrying

        return Retrying(sleep=self._sleep, **request.policy())(lambda: send(request.left()))


class AsyncAttempts(_Attempts):
    """``Attempts`` for asyncio."""

    def __init__(
        self,
        retry: Retry | None,
        timeout: float,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(retry, timeout, clock)
        self._sleep = sleep

    async def __call__(self, send: Callable[[float], Awaitable[Answer]]) -> Answer:
        """The answer of ``send``."""
        request = self._begun()
        if request is None:
            return await send(self._timeout)
        from tenacity import AsyncRetrying

        async def attempt() -> Answer:
            return await send(request.left())

        answer: Answer = await AsyncRetrying(sleep=self._sleep, **request.policy())(attempt)
        return answer
