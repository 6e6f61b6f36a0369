"""Threads are as many as there are cores to run them, in a container too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tritonsmith_steps.cores import cores

VERSION_2: dict[str, int] = {
    "max 100000": 8,
    "200000 100000": 2,
    "150000 100000": 2,
    "50000 100000": 1,
    "1600000 100000": 8,
    "0 100000": 8,
    "nonsense": 8,
    "": 8,
    "100000 0": 8,
}


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(("text", "expected"), VERSION_2.items())
def test_a_quota_of_version_2(tmp_path: Path, text: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == expected


def test_without_a_cgroup_the_affinity_decides(tmp_path: Path) -> None:
    assert cores(tmp_path) == 8
