"""A pipeline that joins others: its parts built as any pipeline is, then the ensemble over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonsmith_build import repository as repo
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.facts import JoinedFacts
from tritonsmith_build.joined import Joined
from tritonsmith_build.lock import lock_text
from tritonsmith_build.progress import Progress
from tritonsmith_build.publish import Built
from tritonsmith_build.render_joined import rendered_joined
from tritonsmith_build.scripted import folder_from_script
from tritonsmith_build.source import locate
from tritonsmith_build.stagecache import StageCache, code, digest, versions
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import JOINED
from tritonsmith_build.work import Work


def build(spec: PipelineSpec, *, repository: Path, cache: StageCache, progress: Progress, **options: Any) -> Built:
    """Build ``spec``, its parts first where it has any; ``options`` and errors are those of ``build_pipeline``."""
    if spec.task not in JOINED:
        return build_pipeline(spec, repository=repository, cache=cache, progress=progress, **options)
    joined = JOINED[spec.task]
    parts = [
        build_pipeline(part, repository=repository, cache=cache, progress=progress, **options)
        for part in joined.parts(spec).values()
    ]
    facts = _facts(spec, joined, Work(next(iter(joined.parts(spec).values())), cache, progress))
    with progress.stage(spec.name, "render") as stage:
        texts = rendered_joined(spec, joined, facts)
        changed = repo.stale(repository, texts)
        lock = {spec.lock_file.name: lock_text(spec, facts)}
        stale = [spec.lock_file.parent / name for name in repo.stale(spec.lock_file.parent, lock)]
        repo.place_files({**{file: lock[file.name] for file in stale}, **{repository / path: texts[path] for path in changed}})
        stage.note = f"{len(changed)} files written to {repository}" if changed else f"unchanged in {repository}"
    manifest = {"pipeline": spec.name, "task": spec.task, "parts": {part.pipeline: part.manifest for part in parts}}
    return Built(spec.name, manifest, (*(path for part in parts for path in part.changed), *changed))


def _facts(spec: PipelineSpec, joined: Joined, part: Work) -> JoinedFacts:
    """What the steps between need, read from the model that all parts share."""
    source = locate(spec, folder_from_script(part) if spec.source.script else None)

    def make(folder: Path) -> None:
        (folder / "facts.json").write_text(joined.reads(spec, source).model_dump_json())

    with part.progress.stage(spec.name, "join") as stage:
        key = digest(code("facts.py", *joined.code), versions("transformers"), spec.task, source.files)
        stage.cached = part.cache.has("join", key)
        return JoinedFacts.model_validate_json((part.cache.folder("join", key, make) / "facts.json").read_text())
