"""Each step of an ensemble against the model it names, as Triton's ValidateEnsembleConfig does it.

https://github.com/triton-inference-server/core/blob/main/src/ensemble_scheduler/ensemble_utils.cc
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from tritonsmith_build.lint.contents import ConfigFile, Model, Step, View
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


def steps_of_ensembles(view: View) -> Iterator[Finding]:
    """Model, version, batch size and the keys of both maps."""
    for _, file, steps in view.ensembles():
        for step in steps:
            if step.model is None:
                yield _unknown_model(view, file, step)
                continue
            yield from _version(file, step, step.model)
            if step.file is not None:
                yield from _batch_size(file, step, step.file)
                yield from _inputs(file, step, step.file)
                yield from _outputs(file, step, step.file)


def ensemble_cycles(view: View) -> Iterator[Finding]:
    """No ensemble contains itself, however far down."""
    contains = {name: [step.message.model_name for step in steps] for name, _, steps in view.ensembles()}
    reported: set[frozenset[str]] = set()
    for name, file, steps in view.ensembles():
        ring = _way_back(contains, [name])
        if ring and frozenset(ring) not in reported:
            reported.add(frozenset(ring))
            field = next(step.field for step in steps if step.message.model_name == ring[1])
            message = f"the ensembles contain each other: {' -> '.join(ring)}"
            yield found("ensemble-cycle", file.path, f"{field}.model_name", message, "take one of them out of the other")


def _way_back(contains: dict[str, list[str]], way: list[str]) -> list[str]:
    """A chain of ensembles from the first of ``way`` back to itself, empty where there is none."""
    for inner in contains[way[-1]]:
        if inner == way[0]:
            return [*way, inner]
        if inner in contains and inner not in way and (ring := _way_back(contains, [*way, inner])):
            return ring
    return []


def _unknown_model(view: View, file: ConfigFile, step: Step) -> Finding:
    named = step.message.model_name
    close = difflib.get_close_matches(named, view.models, n=1)
    fix = f"did you mean {close[0]}?" if close else f"there are: {', '.join(view.models)}"
    message = f"there is no model {named} in the repository" if named else "the step names no model"
    return found("step-model-unknown", file.path, f"{step.field}.model_name", message, fix)


def _version(file: ConfigFile, step: Step, model: Model) -> Iterator[Finding]:
    wanted, field = step.message.model_version, f"{step.field}.model_version"
    served = [version.number for version in model.served(step.file.config)] if step.file else list(model.versions)
    if wanted == -1:
        message = f"the step runs whatever version of {model.name} is newest, so a new one cannot be loaded beside it first"
        fix = f"write model_version: {max(served, default=1)}"
        yield found("step-version-unpinned", file.path, field, message, fix)
    elif served and wanted not in served:
        said = (
            f"version {wanted} of {model.name}"
            if wanted
            else f"version 0 of {model.name}, which is what no model_version means"
        )
        message = f"the step wants {said}; served are: {', '.join(map(str, served))}"
        fix = f"write model_version: {max(served, default=1)}, or serve {wanted or 'that'} by {model.name}'s version_policy"
        yield found("step-version-not-served", file.path, field, message, fix)


def _batch_size(file: ConfigFile, step: Step, inner: ConfigFile) -> Iterator[Finding]:
    ours, theirs = file.config.max_batch_size, inner.config.max_batch_size
    if 0 < theirs < ours:
        message = f"max_batch_size is {ours}, but step {step.message.model_name} takes {theirs}"
        fix = f"write max_batch_size: {theirs} here, or raise the step's"
        yield found("step-batch-size", file.path, "max_batch_size", message, fix)


def unmapped_inputs(step: Step) -> list[str]:
    """The inputs that the step's model needs and no tensor is mapped to."""
    inputs = step.file.config.input if step.file else ()
    return [tensor.name for tensor in inputs if tensor.name not in step.message.input_map and not tensor.optional]


def _inputs(file: ConfigFile, step: Step, inner: ConfigFile) -> Iterator[Finding]:
    inputs = [tensor.name for tensor in inner.config.input]
    if not inputs:
        return  # left to Triton to complete
    unmapped = unmapped_inputs(step)
    unknown = [key for key in sorted(step.message.input_map) if key not in inputs]
    for key in unknown:
        message = f"{step.message.model_name} has no input {key}; it has {', '.join(inputs)}"
        field = f"{step.field}.input_map[{key}]"
        yield found("step-input-unknown", file.path, field, message, _meant(key, unmapped or inputs))
    if unknown:
        return  # what is not mapped is most likely what was misspelt
    for name in unmapped if step.message.input_map else ():
        message = f"input {name} of {step.message.model_name} is mapped to no tensor"
        fix = f'add input_map {{ key: "{name}" value: … }}'
        yield found("step-input-unmapped", file.path, f"{step.field}.input_map", message, fix)


def _outputs(file: ConfigFile, step: Step, inner: ConfigFile) -> Iterator[Finding]:
    outputs = [tensor.name for tensor in inner.config.output]
    for key in sorted(step.message.output_map):
        if outputs and key not in outputs:
            message = f"{step.message.model_name} has no output {key}; it has {', '.join(outputs)}"
            left = [name for name in outputs if name not in step.message.output_map]
            yield found(
                "step-output-unknown", file.path, f"{step.field}.output_map[{key}]", message, _meant(key, left or outputs)
            )


def _meant(key: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1)
    return f"did you mean {close[0]}?" if close else f"map one of {', '.join(names)}"
