from __future__ import annotations

import pytest
from callers import ASYNC, SYNC, Caller


@pytest.fixture(scope="session", params=[SYNC, ASYNC], ids=lambda caller: caller.name)
def caller(request: pytest.FixtureRequest) -> Caller:
    made: Caller = request.param
    return made
