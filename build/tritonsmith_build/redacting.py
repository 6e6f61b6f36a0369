"""The step in front of a pipeline that takes out of its texts what a spec's ``[redact]`` names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tritonsmith_steps.redact import RedactSettings

from tritonsmith_build.messages import Before, Message, named, python_step, queue, step_of
from tritonsmith_build.step_files import written
from tritonsmith_build.tables import PipelineSpec, TextSpec
from tritonsmith_build.tasks import TASKS

REDACT = "redact"
TEXTS = frozenset({"TEXT", "TEXT_PAIR", "QUESTION", "CONTEXT", "QUERY", "DOCUMENTS"})
"""Inputs in which people write. Labels and templates are the calling program's own."""


@dataclass(frozen=True)
class Redacting:
    """All that a repository has for it."""

    model: str
    config: Message
    settings: dict[str, object]
    before: Before


def redacting_of(spec: PipelineSpec) -> Redacting | None:
    """None where a spec asks for no such step."""
    if not isinstance(spec, TextSpec) or spec.redact is None:
        return None
    model = f"{spec.name}_{REDACT}"
    tensors = [tensor for tensor in TASKS[spec.task].inputs if tensor.name in TEXTS]
    renamed = {tensor.name: f"{tensor.name}_REDACTED" for tensor in tensors}
    settings = RedactSettings(spec.redact.kinds, spec.redact.regions, spec.input.max_bytes, spec.redact.max_numbers)
    return Redacting(
        model,
        python_step(spec, model, tensors, [replace(tensor, optional=False) for tensor in tensors], queue(spec.serving)),
        written(settings),
        Before(step_of(model, named(tensors), renamed), renamed),
    )
