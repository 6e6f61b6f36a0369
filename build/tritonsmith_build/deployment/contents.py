"""What of a built repository is deployed, under which paths and with which digest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.pack import Content, hash_of, members
from tritonsmith_build.repository import MANIFEST, VERSION, has_task, pipeline_steps


@dataclass(frozen=True)
class BuiltFiles:
    """A built pipeline."""

    files: Mapping[str, Content]
    """By path in the repository."""
    digest: str

    @property
    def configs(self) -> dict[str, str]:
        """Its configurations, by path."""
        texts = {path: content for path, content in self.files.items() if path.endswith(".pbtxt")}
        return {path: text.read_text(encoding="utf-8") for path, text in texts.items() if isinstance(text, Path)}

    def numbered(self, version: int) -> dict[str, Content]:
        """The files under another version's paths, the paths in manifests too."""
        models = {path.partition("/")[0] for path in self.files}
        old = re.compile(rf"^({'|'.join(map(re.escape, models))})/{VERSION}/")

        def path_of(path: str) -> str:
            return old.sub(rf"\g<1>/{version}/", path)

        def renamed(value: Any) -> Any:
            match value:
                case str():
                    return path_of(value)
                case dict():
                    return {path_of(key): renamed(inner) for key, inner in value.items()}
                case list():
                    return [renamed(inner) for inner in value]
            return value

        made: dict[str, Content] = {path_of(path): content for path, content in self.files.items()}
        for path, content in made.items():
            if path.endswith(f"/{MANIFEST}") and isinstance(content, bytes):
                made[path] = (json.dumps(renamed(json.loads(content)), indent=2) + "\n").encode()
        return made


def built_files(repository: Path, pipeline: str) -> BuiltFiles:
    """A pipeline's. Raises SmithError where it is not there, not built, damaged, or joins others."""
    there = pipeline_steps(repository)
    if pipeline not in there:
        known = ", ".join(there) or "none"
        raise SmithError(f"no pipeline {pipeline}; there are: {known}", where=repository, fix="build it, or correct --from")
    if parts := parts_of(repository, pipeline):
        what = f"{pipeline} joins {' and '.join(parts)}, and a pipeline of pipelines is not upgraded in one piece"
        raise SmithError(what, where=repository, fix="serve it from the repository itself, or deploy its parts alone")
    files = members(repository, pipeline, there[pipeline], None)
    sums = "".join(f"{hash_of(content)}  {path}\n" for path, content in sorted(files.items()))
    return BuiltFiles(files, hash_of(sums.encode()))


def parts_of(repository: Path, pipeline: str) -> Sequence[str]:
    """The pipelines that a pipeline consists of; nothing for most."""
    steps = dict(pipeline_steps(repository)[pipeline])
    return [model for model in steps if has_task((repository / model / "config.pbtxt").read_text(encoding="utf-8"))]
