"""Read what a model says of itself, and put what its first step needs into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.origin import origin_of, stage_function
from tritonsmith_build.source import ModelSource
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS


def read(spec: PipelineSpec, source: ModelSource, folder: Path) -> None:
    """Write ``facts.json`` and the modality's files to ``folder``; SmithError where spec and model do not fit."""
    task = TASKS[spec.task]
    model, own = stage_function(origin_of(spec).reads(task.modality))(spec, source, task, folder)
    facts = task.modality.facts.model_validate({
        "model_type": model.config.model_type,
        "weights": source.weights,
        "adapter": {name: digest for name, digest in source.adapter_files.items() if name.startswith("adapter_")},
        **own,
        **task.facts(model),
    })  # fmt: skip
    (folder / "facts.json").write_text(facts.model_dump_json())


def loaded(auto: Any, source: ModelSource, spec: PipelineSpec, **options: Any) -> Any:
    """What one of transformers' ``Auto`` classes makes of the source. Raises SmithError where it cannot."""
    try:
        return auto.from_pretrained(source.folder, **options)
    except Exception as error:  # whatever a damaged or unknown folder makes transformers raise
        reason = str(error).strip().splitlines()[0]
        fix = "give a folder that save_pretrained wrote, of an architecture this transformers knows"
        raise SmithError(
            f"{auto.__name__} cannot read {source.folder}: {reason}", where=f"{spec.file}: source", fix=fix
        ) from None
