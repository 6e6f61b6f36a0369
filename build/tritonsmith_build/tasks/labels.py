"""The names of a model's classes."""

from __future__ import annotations

from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.task import Model


def classes(model: Model[Any]) -> dict[str, Any]:
    """The classes in the order of the logits. Raises SmithError where the spec names more or fewer than the head has."""
    spec, config = model.spec, model.config
    names: dict[int, str] = dict(config.id2label)  # type: ignore[arg-type]
    own = tuple(names[index] for index in sorted(names))
    labels = spec.output.labels or own
    if not spec.source.adapter and len(labels) != len(own):
        fix = f"name all {len(own)}, or leave output.labels out to use the model's: {', '.join(own)}"
        raise SmithError(f"{len(labels)} labels for a head of {len(own)}", where=f"{spec.file}: output.labels", fix=fix)
    return {"labels": labels, "width": len(labels)}
