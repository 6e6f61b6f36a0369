"""Real Triton servers, each started once for the tests that share it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, built, serving


@pytest.fixture(scope="session")
def fp32_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(["sentiment", "embeddings"], tmp_path_factory.mktemp("fp32") / "models", "fp32")


@pytest.fixture(scope="session")
def int8_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(["sentiment", "embeddings"], tmp_path_factory.mktemp("int8") / "models", "int8")


@pytest.fixture(scope="session")
def fp32(fp32_repository: Path) -> Iterator[Served]:
    """Both pipelines at FP32, the response cache off."""
    with serving(fp32_repository, fp32_repository.parent / "triton.log", "--no-cache") as served:
        yield served


@pytest.fixture(scope="session")
def int8(int8_repository: Path) -> Iterator[Served]:
    """Both pipelines at INT8, the response cache off."""
    with serving(int8_repository, int8_repository.parent / "triton.log", "--no-cache") as served:
        yield served
