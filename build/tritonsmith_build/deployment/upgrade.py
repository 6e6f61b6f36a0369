"""``tritonsmith upgrade`` and ``rollback``: another version of a pipeline, while a server answers callers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonsmith import Client, Retry
from tritonsmith.codec import ModelInfo
from tritonsmith.transport import Address

from tritonsmith_build.deployment.contents import BuiltFiles, built_files
from tritonsmith_build.deployment.control import TritonControl
from tritonsmith_build.deployment.copy import CONFIG, Copy
from tritonsmith_build.deployment.interface import check_interface
from tritonsmith_build.deployment.items import items_for, options_for
from tritonsmith_build.deployment.locked import locked
from tritonsmith_build.deployment.move import Move
from tritonsmith_build.deployment.record import Version, deployed_in, now, write_record
from tritonsmith_build.deployment.shadow import Comparison, Limits, check, compare
from tritonsmith_build.errors import SmithError
from tritonsmith_build.pbtxt import config_from_text
from tritonsmith_build.server.keys import headers, read_key

_TIMEOUT = 60.0
_RETRY = Retry(attempts=4)
Say = Callable[[str], None]
Compare = Callable[[str, str], Comparison]
"""``compare(old, new)``, of two ensembles."""


@dataclass(frozen=True)
class Server:
    """Which server is moved."""

    url: str
    key_file: Path
    """With its admin key; one that restricts nothing needs no such file."""

    @property
    def address(self) -> Address:
        """With the key. Raises SmithError where the address is none, or the file must not be used."""
        try:
            address = Address.parse(self.url, timeout=_TIMEOUT)
        except ValueError as error:
            raise SmithError(str(error), where="--url") from None
        key = read_key(self.key_file) if self.key_file.exists() else ""
        return replace(address, headers=headers(key, grpc=address.grpc))


@dataclass(frozen=True)
class Trial:
    """How a new version is tried before callers get it."""

    limits: Limits
    items: int = 200
    """How many both versions are asked."""
    data: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Moved:
    """What was done."""

    pipeline: str
    before: int
    live: int
    seconds: float
    comparison: Comparison | None = None
    """What the trial found; a rollback has none."""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        found = self.comparison
        compared = {**asdict(found), "slowdown": found.slowdown} if found else None
        return {**asdict(self), "comparison": compared}


def upgrade(pipeline: str, repository: Path, folder: Path, server: Server, trial: Trial, say: Say) -> Moved:
    """Let a server that serves ``folder`` answer with what is built in ``repository``.

    Raises SmithError where nothing is new, it is no upgrade, or the new version is worse; callers then notice nothing.
    """
    with TritonControl(server.address) as control, locked(_there(folder)):
        copy = Copy(folder, pipeline)
        return upgrade_with(Move(copy, control), repository, _comparer(server.url, copy, trial), trial.limits, say)


def rollback(pipeline: str, folder: Path, server: Server, say: Say) -> Moved:
    """Let the server answer with the version before. Raises SmithError where there is none."""
    with TritonControl(server.address) as control, locked(_there(folder)):
        return rollback_with(Move(Copy(folder, pipeline), control), say)


def upgrade_with(move: Move, repository: Path, compared: Compare, limits: Limits, say: Say) -> Moved:
    """``upgrade``, with a server and a way to compare given."""
    copy, start = move.copy, time.monotonic()
    tidied(move)
    old, built = move.live, built_files(repository, copy.pipeline)
    version = _prepared(copy, built)
    try:
        say(f"loading version {version} beside version {old}")
        move.beside(version)
        alone = [move.stand_alone(number) for number in (old, version)]
        say("asking both")
        found = compared(*alone)
        check(copy.pipeline, found, limits)
        move.switch(version)
    except (Exception, KeyboardInterrupt):
        _undone(move)
        raise
    say(f"version {version} answers; version {old} finishes and is unloaded")
    move.settle()
    _keep(copy)
    return Moved(copy.pipeline, old, version, time.monotonic() - start, found)


def rollback_with(move: Move, say: Say) -> Moved:
    """``rollback``, with a server given."""
    copy, start = move.copy, time.monotonic()
    tidied(move)
    deployed = deployed_in(copy.folder, copy.pipeline)
    if deployed.before is None:
        fix = "build what you want to serve and run: tritonsmith upgrade"
        raise SmithError(f"version {deployed.live} has none before it to go back to", where=copy.pipeline, fix=fix)
    try:
        say(f"loading version {deployed.before} beside version {deployed.live}")
        move.beside(deployed.before)
        move.switch(deployed.before)
    except (Exception, KeyboardInterrupt):
        _undone(move)
        raise
    say(f"version {deployed.before} answers; version {deployed.live} finishes and is unloaded")
    move.settle()
    _keep(copy)
    return Moved(copy.pipeline, deployed.live, deployed.before, time.monotonic() - start)


def tidied(move: Move) -> None:
    """Bring server and copy to what is live, where a move before was cut off, and remove what it left.

    Raises SmithError where the server does not serve the pipeline.
    """
    move.check_served()
    if not move.settled():
        move.recover()
    _keep(move.copy)


def _prepared(copy: Copy, built: BuiltFiles) -> int:
    """The number of the new version, kept beside the live one."""
    deployed = deployed_in(copy.folder, copy.pipeline)
    live = deployed.versions[deployed.live]
    if built.digest == live.digest:
        what = f"nothing has changed: what is built is version {deployed.live}, live since {deployed.since}"
        raise SmithError(what, where=copy.pipeline, fix="build a new one, or correct --from")
    check_interface(copy.pipeline, copy.configs(deployed.live), built.configs)
    version = deployed.last + 1
    versions = {**deployed.versions, version: Version(built.digest, now())}
    write_record(copy.folder, copy.pipeline, replace(deployed, last=version, versions=versions))
    copy.prepare(version, built.numbered(version))
    return version


def _undone(move: Move) -> None:
    """As before, as far as the server still answers; a server that starts again does the rest."""
    with contextlib.suppress(SmithError):
        move.recover()
    _keep(move.copy)


def _keep(copy: Copy) -> None:
    """The live version and the one before it."""
    deployed = deployed_in(copy.folder, copy.pipeline)
    kept = deployed.only(deployed.live, deployed.before)
    write_record(copy.folder, copy.pipeline, kept)
    copy.forget(list(kept.versions))


def _comparer(url: str, copy: Copy, trial: Trial) -> Compare:
    def compared(old: str, new: str) -> Comparison:
        path = f"{copy.pipeline}/{CONFIG}"
        config = config_from_text(copy.configs(deployed_in(copy.folder, copy.pipeline).live)[path], where=path)
        said = {key: parameter.string_value for key, parameter in config.parameters.items()}
        info = ModelInfo(copy.pipeline, said["task"], config.max_batch_size)
        items = items_for(info, said.get("mask", ""), trial.data, trial.items)
        with Client(url, timeout=_TIMEOUT, retry=_RETRY) as client:
            return compare(client, replace(info, name=old), replace(info, name=new), items, options_for(info, trial.options))

    return compared


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise SmithError("no such folder", where=folder, fix="run: tritonsmith deploy PIPELINE --to FOLDER")
    return folder
