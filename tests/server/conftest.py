"""What several tests of the real server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from collecting import Collector, collecting


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """It takes the traces of a module's server."""
    with collecting() as made:
        yield made
