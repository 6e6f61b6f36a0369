"""A model repository on disk: read for what it holds, and written so that a reader never sees half of a file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tritonsmith_build.hashing import sha256

MANIFEST = "manifest.json"
VERSION = 1
"""Of every model that a build writes."""
Steps = Sequence[tuple[str, int]]
"""The models of an ensemble with their pinned versions, in the order in which data flows."""
# Read without protobuf, which a server's image need not have; the text is this project's own rendering.
_STEP = re.compile(r'model_name: "([^"]+)"\s+model_version: (\d+)')
_TASK = re.compile(r'key: "task"')


def pipeline_steps(repository: Path) -> dict[str, Steps]:
    """The ensembles of a repository that have a task, by their names; what stands in a part of one stands in it too."""
    texts = {file.parent.name: file.read_text(encoding="utf-8") for file in sorted(repository.glob("*/config.pbtxt"))}
    found = {name: steps_in(text) for name, text in texts.items()}
    return {name: list(_with_theirs(steps, found)) for name, steps in found.items() if steps and has_task(texts[name])}


def steps_in(text: str) -> Steps:
    """What an ensemble's configuration names as its steps; nothing where it is none."""
    return [(model, int(version)) for model, version in _STEP.findall(text)]


def has_task(text: str) -> bool:
    """Whether a configuration is that of a pipeline, which callers ask."""
    return _TASK.search(text) is not None


def _with_theirs(steps: Steps, found: Mapping[str, Steps]) -> Iterator[tuple[str, int]]:
    """The steps, after each that is an ensemble itself its own."""
    for model, version in steps:
        yield model, version
        others = {name: theirs for name, theirs in found.items() if name != model}  # so that a circle ends
        yield from _with_theirs(found.get(model, ()), others)


def damage(repository: Path, files: Mapping[str, Any]) -> Iterator[str]:
    """A line for each artefact that is not what its manifest says."""
    for path, said in files.items():
        file = repository / path
        if not file.is_file():
            yield f"{path} is missing"
        elif sha256(file) != said["sha256"]:
            yield f"{path} is not the file its manifest speaks of"


def place_files(files: Mapping[Path, Path | str]) -> None:
    """Write every file, a text or a copy of another file, beside its place; when all are whole, rename them into place."""
    with contextlib.ExitStack() as stack:
        scratches = {target: stack.enter_context(_beside(target)) for target in files}
        for target, scratch in scratches.items():
            content = files[target]
            if isinstance(content, str):
                scratch.write_text(content, encoding="utf-8")
            else:
                shutil.copyfile(content, scratch)
        for target, scratch in scratches.items():
            scratch.replace(target)


def stale(repository: Path, files: Mapping[str, str]) -> list[str]:
    """The paths whose text in the repository is missing or other than rendered."""

    def differs(path: str, text: str) -> bool:
        file = repository / path
        return not file.is_file() or file.read_bytes() != text.encode()

    return [path for path, text in files.items() if differs(path, text)]


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A scratch path in the same folder, gone afterwards whatever happens."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".part")
    os.close(handle)
    scratch = Path(name)
    try:
        scratch.chmod(0o644)  # mkstemp's own mode would hide the file from a server under another user
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in an engine's version folder, None where there is none that reads."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
