from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from tritonsmith.retry_budget import RetryBudget

shares = st.floats(0, 2)
reserves = st.integers(1, 20)


@given(share=shares, reserve=reserves, sent=st.lists(st.booleans(), max_size=200))
def test_over_any_stretch_retries_are_the_reserve_and_a_share_of_requests_at_most(
    share: float, reserve: int, sent: list[bool]
) -> None:
    """``sent`` says of each that wants to be sent whether it is a request; the others are retries."""
    budget = RetryBudget(share, reserve)
    requests, retries = [], []
    for is_request in sent:
        if is_request:
            budget.count_request()
        requests.append(is_request)
        retries.append(not is_request and budget.take_retry())
    # retries - share * requests may climb by the reserve at most, from wherever it was.
    climbs = list(accumulate((took - share * asked for took, asked in zip(retries, requests, strict=True)), initial=0.0))
    lowest = accumulate(climbs, min)
    assert all(climb - low <= reserve + 1e-6 for climb, low in zip(climbs, lowest, strict=True))


@given(share=st.floats(0.01, 1), reserve=st.integers(2, 20), rounds=st.integers(1, 30))
def test_who_asks_steadily_gets_the_share_in_full(share: float, reserve: int, rounds: int) -> None:
    budget = RetryBudget(share, reserve)
    while budget.take_retry():
        pass
    taken = 0
    for _ in range(rounds):
        budget.count_request()
        taken += budget.take_retry()
    assert share * rounds - 1 - 1e-6 < taken <= share * rounds + 1e-6


@given(share=shares, reserve=reserves, requests=st.integers(0, 50))
def test_no_more_than_the_reserve_is_saved_up(share: float, reserve: int, requests: int) -> None:
    budget = RetryBudget(share, reserve)
    for _ in range(requests):
        budget.count_request()
    assert sum(budget.take_retry() for _ in range(reserve + 5)) == reserve


def test_threads_do_not_take_the_same_retry_twice() -> None:
    budget = RetryBudget(0, 1000)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: sum(budget.take_retry() for _ in range(500)), range(8)))
    assert sum(taken) == 1000
