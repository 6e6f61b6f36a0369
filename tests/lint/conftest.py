"""A built repository, made once and copied for each test that breaks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lintplace import write_built


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("lint") / "models"
    write_built(repository)
    return repository


@pytest.fixture
def repository(_built: Path, tmp_path: Path) -> Path:
    """The test's own copy of a repository that is all right."""
    return shutil.copytree(_built, tmp_path / "models")
