"""``deployed.json``: of each pipeline in a deployed copy, which version is live and which are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_build.repository import place_files

RECORD = "deployed.json"


def now() -> str:
    """The time as the record has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Version:
    """One build of a pipeline, deployed under a number."""

    digest: str
    """Of all its files."""
    deployed: str
    """When."""


@dataclass(frozen=True)
class Deployed:
    """What a copy has of one pipeline."""

    live: int
    """What a server that starts serves."""
    before: int | None
    """What a rollback goes back to."""
    last: int
    """The greatest number ever given. None is given twice: Triton's cache would answer with what it had under that number."""
    since: str
    """When ``live`` became so."""
    versions: Mapping[int, Version] = field(default_factory=dict)
    """What is kept, by number."""

    def moved(self, live: int, before: int | None) -> Deployed:
        """With another version live."""
        return replace(self, live=live, before=before, since=now())

    def only(self, *kept: int | None) -> Deployed:
        """With no other versions than these."""
        return replace(self, versions={number: version for number, version in self.versions.items() if number in kept})


def read_record(folder: Path) -> dict[str, Deployed]:
    """By pipeline. Raises SmithError where the folder is no deployed copy."""
    file = folder / RECORD
    fix = "run: tritonsmith deploy PIPELINE --to FOLDER"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: Deployed(
                **{**said, "versions": {int(number): Version(**version) for number, version in said["versions"].items()}}
            )
            for name, said in content.items()
        }
    except FileNotFoundError:
        raise SmithError("no such file: nothing is deployed there", where=file, fix=fix) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SmithError(f"does not read as the record of what is deployed ({error})", where=file, fix=fix) from None


def deployed_in(folder: Path, pipeline: str) -> Deployed:
    """One pipeline's entry. Raises SmithError where it has none."""
    record = read_record(folder)
    if pipeline not in record:
        there = ", ".join(record) or "none"
        fix = f"run: tritonsmith deploy {pipeline} --to {folder}"
        raise SmithError(f"no pipeline {pipeline} is deployed; there are: {there}", where=folder, fix=fix)
    return record[pipeline]


def write_record(folder: Path, pipeline: str, deployed: Deployed) -> None:
    """Put a pipeline's entry in, in one step: a reader has the file as it was or as it is."""
    record = read_record(folder) if (folder / RECORD).exists() else {}
    content = {name: asdict(said) for name, said in {**record, pipeline: deployed}.items()}
    place_files({folder / RECORD: json.dumps(content, indent=2) + "\n"})
