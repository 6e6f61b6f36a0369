from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from callers import ASYNC, SYNC, Caller


@pytest.fixture(scope="session", params=[SYNC, ASYNC], ids=lambda caller: caller.name)
def caller(request: pytest.FixtureRequest) -> Caller:
    made: Caller = request.param
    return made
