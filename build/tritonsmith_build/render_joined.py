"""The committed text of a pipeline that joins others: its ensemble and the steps between its parts."""

from __future__ import annotations

from tritonsmith_build.facts import JoinedFacts
from tritonsmith_build.joined import Joined, OwnStep, PartStep
from tritonsmith_build.messages import (
    Message,
    ensembles,
    header,
    named,
    python_step,
    queue,
    step_files,
    step_of,
    version_folder,
)
from tritonsmith_build.pbtxt import config_from_text, pbtxt
from tritonsmith_build.tables import PipelineSpec


def rendered_joined(spec: PipelineSpec, joined: Joined, facts: JoinedFacts) -> dict[str, str]:
    """Every committed file beside those of the parts, by its path inside the repository."""
    steps = joined.steps(spec, facts)
    own = [step for step in steps if isinstance(step, OwnStep)]
    flow = [_step(spec, step) for step in steps]
    whole = ensembles(spec, flow, [*joined.inputs, *joined.options], joined.answers, {})
    configs = {
        **whole,
        **{f"{spec.name}_{step.suffix}": _config(spec, joined, step) for step in own},
    }
    files = {f"{name}/config.pbtxt": header(spec) + pbtxt(config) for name, config in configs.items()}
    for path, text in files.items():
        config_from_text(text, where=path)
    for step in own:
        files |= step_files(spec, f"{spec.name}_{step.suffix}", step.suffix, step.settings)
    for name in whole:
        files |= version_folder(name)
    return files


def _step(spec: PipelineSpec, step: OwnStep | PartStep) -> Message:
    if isinstance(step, PartStep):
        return step_of(f"{spec.name}_{step.part}", step.inputs, step.outputs)
    return step_of(f"{spec.name}_{step.suffix}", named(step.inputs), named(step.outputs))


def _config(spec: PipelineSpec, joined: Joined, step: OwnStep) -> Message:
    """A step that takes what callers send has a queue with an end, and shelters those after it."""
    asked = {tensor.name for tensor in joined.options}
    batching = queue(spec.serving) if asked & {tensor.name for tensor in step.inputs} else {}
    made = python_step(spec, f"{spec.name}_{step.suffix}", step.inputs, step.outputs, batching)
    return {**made, "max_batch_size": spec.input.max_labels} if step.several else made  # type: ignore[attr-defined]
