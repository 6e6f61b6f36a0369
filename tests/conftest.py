"""What all tests share: one cache of build stages, and real Triton servers, each started once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

ROOT = Path(__file__).parent.parent
os.environ.setdefault("TRITONSMITH_CACHE", str(ROOT / ".tritonsmith" / "cache"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from served import UNASKED, Served, built, serving  # noqa: E402 (reads where the cache is)
from tritonsmith_build.stagecache import StageCache  # noqa: E402
from tritonsmith_build.tables import Precision  # noqa: E402

# How long an example takes says how busy the machine is.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def fp32_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _shipped(tmp_path_factory, "fp32")


@pytest.fixture(scope="session")
def int8_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _shipped(tmp_path_factory, "int8")


def _shipped(tmp_path_factory: pytest.TempPathFactory, precision: Precision) -> Path:
    """Built by one process of tests at a time: the second finds every stage in the cache."""
    cache = StageCache.default().root
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "shipped.lock"):
        return built(["sentiment", "embeddings"], tmp_path_factory.mktemp(precision) / "models", precision)


@pytest.fixture(scope="session")
def fp32(fp32_repository: Path) -> Iterator[Served]:
    """Both pipelines at FP32, the response cache off."""
    with serving(fp32_repository, fp32_repository.parent / "triton.log", "--no-cache", UNASKED) as served:
        yield served


@pytest.fixture(scope="session")
def int8(int8_repository: Path) -> Iterator[Served]:
    """Both pipelines at INT8, the response cache off."""
    with serving(int8_repository, int8_repository.parent / "triton.log", "--no-cache", UNASKED) as served:
        yield served
