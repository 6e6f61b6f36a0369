"""A model's folder made by a script of its owner's: what it needs is checked, what it makes is kept."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.stagecache import digest
from tritonsmith_build.work import Work

_BEGIN, _END = "# /// script", "# ///"


def folder_from_script(work: Work) -> Path:
    """The folder that the spec's script has filled, which is run where it, or what it needs, has changed.

    It is run in a process of its own, with this Python, beside the spec; its one argument is the folder. Raises SmithError
    where what it needs is not installed, and with its last words where it fails.
    """
    assert work.spec.source.script is not None
    file, where = work.spec.beside(work.spec.source.script), f"{work.spec.file}: source.script"
    if not file.is_file():
        raise SmithError(f"no such file: {file}", where=where, fix="correct it; a path is taken from the spec's folder")
    needed = {requirement.name: _installed(requirement, file) for requirement in requirements_of(file)}

    def make(folder: Path) -> None:
        ended = subprocess.run(
            [sys.executable, str(file.resolve()), str(folder.resolve())],
            cwd=file.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if ended.returncode:
            said = (ended.stderr.strip() or ended.stdout.strip() or f"it ended with {ended.returncode}").splitlines()[-1]
            raise SmithError(f"failed: {said}", where=file, fix=f"run it to see more: python {file} FOLDER")

    return work.stage("script", digest(sha256(file), needed), make)


def requirements_of(file: Path) -> list[Requirement]:
    """The packages that a script says it needs, in the block that PEP 723 defines; none where it has no such block."""
    lines = file.read_text(encoding="utf-8").splitlines()
    if _BEGIN not in lines:
        return []
    block = lines[lines.index(_BEGIN) + 1 :]
    fix = 'write it as PEP 723 has it: # /// script, # dependencies = ["NAME==VERSION"], # ///'
    try:
        content: dict[str, Any] = tomllib.loads("\n".join(line[2:] for line in block[: block.index(_END)]))
        return [Requirement(line) for line in content.get("dependencies", [])]
    except (ValueError, InvalidRequirement) as error:  # no end, no TOML, no requirement
        raise SmithError(f"its block of metadata cannot be read ({error})", where=file, fix=fix) from None


def _installed(requirement: Requirement, file: Path) -> str:
    """The version that is installed. Raises SmithError where it is none that the script takes."""
    fix = f"run: pip install '{requirement}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        raise SmithError(f"{requirement.name} is not installed", where=file, fix=fix) from None
    if not requirement.specifier.contains(version, prereleases=True):
        raise SmithError(f"it needs {requirement}, {version} is installed", where=file, fix=fix)
    return version
