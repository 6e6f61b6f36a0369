"""What an installed wheel holds."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
from served import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = folder.iterdir()
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


ROOTS = {"tritonsmith_build": "build", "tritonsmith": "client", "tritonsmith_steps": "python_backend"}


@pytest.mark.parametrize("package", ROOTS)
def test_every_file_of_a_package_is_in_the_wheel(wheel: list[str], package: str) -> None:
    source = ROOT / ROOTS[package]
    files = {path.relative_to(source).as_posix() for path in (source / package).rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in Path(file).parts}
    assert f"{package}/py.typed" in files
    assert files <= set(wheel)


def test_nothing_else_is(wheel: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOTS)


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    folders = {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert {"build", "server"} <= folders
    skipped = {folder for folder in folders for pattern in pytestconfig.getini("norecursedirs") if fnmatch(folder, pattern)}
    assert skipped == set()


def test_the_source_roots_are_no_packages() -> None:
    assert [root for root in ROOTS.values() if (ROOT / root / "__init__.py").exists()] == []
