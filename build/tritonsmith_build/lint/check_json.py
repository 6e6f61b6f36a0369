"""``step.json`` and ``manifest.json`` in the version folders."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tritonsmith_build.lint.contents import STEP, Repository, Version
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found
from tritonsmith_build.repository import MANIFEST

_UNREADABLE = {
    STEP: ("step-json-unreadable", "run: tritonsmith render"),
    MANIFEST: ("manifest-unreadable", "build the model again"),
}


def json_files(repository: Repository) -> Iterator[Finding]:
    """Both are JSON, and the files that a manifest speaks of are there and of the size it says."""
    for version in (version for model in repository.models.values() for version in model.versions.values()):
        for name, (rule, fix) in _UNREADABLE.items():
            if name in version.texts and (error := _error(version.texts[name])):
                yield found(rule, f"{version.path}/{name}", f"line {error.lineno}", f"it is not JSON: {error.msg}", fix)
        yield from _manifest(repository, version)


def _error(text: str) -> json.JSONDecodeError | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error
    return None


def _manifest(repository: Repository, version: Version) -> Iterator[Finding]:
    path = f"{version.path}/{MANIFEST}"
    for target in version.table(MANIFEST, "targets"):
        for name, said in version.table(MANIFEST, "targets", target, "files").items():
            field = f"targets.{target}.files[{name}]"
            fix = f"build the {target} target again; the manifest tells what was proved"
            size, expected = repository.size_of(name), said.get("bytes") if isinstance(said, dict) else None
            if size is None:
                yield found("manifest-file-missing", path, field, f"{name} is not there", fix)
            elif isinstance(expected, int) and size != expected:
                message = f"{name} has {size} bytes, the one that was built had {expected}"
                yield found("manifest-size-differs", path, f"{field}.bytes", message, fix)
