"""The repository's committed text of any spec, from it and its lock files."""

from __future__ import annotations

from tritonsmith_build.lock import facts_from_lock, joined_facts_from_lock
from tritonsmith_build.render import rendered
from tritonsmith_build.render_joined import rendered_joined
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import JOINED


def parts_of(spec: PipelineSpec) -> list[PipelineSpec]:
    """The specs that have an engine each: its parts, or the spec itself."""
    return list(JOINED[spec.task].parts(spec).values()) if spec.task in JOINED else [spec]


def committed(spec: PipelineSpec) -> dict[str, str]:
    """Every file by its path inside the repository. Raises SmithError where the model has not been read yet."""
    files = {path: text for part in parts_of(spec) for path, text in rendered(part, facts_from_lock(part)).items()}
    if spec.task in JOINED:
        files |= rendered_joined(spec, JOINED[spec.task], joined_facts_from_lock(spec))
    return files
