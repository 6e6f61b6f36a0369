"""``tritonsmith deploy``: built pipelines copied to where a server reads them and upgrades write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.deployment.contents import built_files, parts_of
from tritonsmith_build.deployment.copy import Copy
from tritonsmith_build.deployment.locked import locked
from tritonsmith_build.deployment.record import RECORD, Deployed, Version, now, read_record, write_record
from tritonsmith_build.errors import SmithError
from tritonsmith_build.repository import VERSION, pipeline_steps


@dataclass(frozen=True)
class Outcome:
    """What was done for one pipeline."""

    pipeline: str
    version: int
    new: bool
    """Whether it was not deployed before."""


def deploy(repository: Path, pipelines: Sequence[str], folder: Path) -> list[Outcome]:
    """Copy pipelines, or all that are built where none is named, as their first versions.

    What is there already stays. Raises SmithError for one that is there as another build: that is an upgrade's work.
    """
    names = pipelines or [name for name in pipeline_steps(repository) if not parts_of(repository, name)]
    if not names:
        raise SmithError("holds no pipeline", where=repository, fix="run: tritonsmith build PIPELINE, or correct --from")
    if folder.resolve() == repository.resolve():
        raise SmithError("is the built repository itself", where=f"--to {folder}", fix="give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return [_deployed(repository, name, folder) for name in names]


def _deployed(repository: Path, pipeline: str, folder: Path) -> Outcome:
    built = built_files(repository, pipeline)
    there = (read_record(folder) if (folder / RECORD).exists() else {}).get(pipeline)
    if there is None:
        copy = Copy(folder, pipeline)
        copy.forget([])
        copy.prepare(VERSION, built.numbered(VERSION))
        copy.settle(VERSION)
        version = Version(built.digest, now())
        write_record(folder, pipeline, Deployed(VERSION, None, VERSION, version.deployed, {VERSION: version}))
        return Outcome(pipeline, VERSION, new=True)
    if there.versions[there.live].digest != built.digest:
        fix = f"run: tritonsmith upgrade {pipeline} --from {repository} --deployed {folder} --url URL"
        raise SmithError(f"{pipeline} is deployed there as another build", where=folder, fix=fix)
    return Outcome(pipeline, there.live, new=False)
