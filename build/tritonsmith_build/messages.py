"""Parts of Triton's configurations, and the files of a Python step, that every kind of pipeline has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritonsmith_build.pbtxt import Word
from tritonsmith_build.repository import VERSION
from tritonsmith_build.tables import PipelineSpec, Serving
from tritonsmith_build.task import Tensor

CACHED = "cached"
"""What the ensemble within a pipeline is called, behind the pipeline's name."""
_VERSIONS = {"version_policy": {"specific": {"versions": [VERSION]}}}

Message = dict[str, Any]


def header(spec: PipelineSpec) -> str:
    """The first line of every file that may have one."""
    files = f"{spec.file.name} and {spec.lock_file.name}"
    return f"# Rendered from {files}; change those and run: tritonsmith render\n"


def step_files(spec: PipelineSpec, model: str, step: str, settings: Mapping[str, object] | None) -> dict[str, str]:
    """What a Python step's version folder has, by path: its module, and its settings where it has any."""
    shim = f'from tritonsmith_steps.serve import triton_model\n\nTritonPythonModel = triton_model("{step}")\n'
    files = {f"{model}/{VERSION}/model.py": header(spec) + shim}
    if settings is not None:
        files[f"{model}/{VERSION}/step.json"] = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    return files


@dataclass(frozen=True)
class Before:
    """A step in front of all others, which gives them some of the pipeline's inputs under other names."""

    step: Message
    renamed: Mapping[str, str]


def ensembles(
    spec: PipelineSpec,
    steps: Sequence[Message],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    parameters: Mapping[str, str],
    before: Before | None = None,
) -> dict[str, Message]:
    """The pipeline's own model by its name, and the one within that remembers answers, where there is need of one.

    Triton's cache knows an answer by its request's inputs alone: what the first caller leaves out of it is missing for all who
    send the same. So callers ask a model that remembers nothing, which always asks the one within for everything. It also
    takes the step ``before``: what that takes out of an input, no cache has seen.
    """
    told = {"parameters": entries({"task": spec.task, **parameters})}
    cached, renamed = spec.serving.cache, before.renamed if before else {}
    first = [before.step] if before else []
    if not cached or (len(outputs) == 1 and not before):
        all_steps = [*first, *(_renamed(step, renamed) for step in steps)]
        return {spec.name: {**_ensemble(spec, spec.name, all_steps, inputs, outputs, cached=cached), **told}}
    within = f"{spec.name}_{CACHED}"
    asking = [*first, _renamed(step_of(within, named(inputs), named(outputs)), renamed)]
    return {
        spec.name: {**_ensemble(spec, spec.name, asking, inputs, outputs, cached=False), **told},
        within: {**_ensemble(spec, within, steps, inputs, outputs, cached=True), **_VERSIONS},
    }


def _renamed(step: Message, names: Mapping[str, str]) -> Message:
    """A step that reads tensors of an ensemble by their new names."""
    maps = [{**entry, "value": names.get(entry["value"], entry["value"])} for entry in step["input_map"]]
    return {**step, "input_map": maps}


def _ensemble(
    spec: PipelineSpec,
    name: str,
    steps: Sequence[Message],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    cached: bool,
) -> Message:
    return {
        "name": name,
        "platform": "ensemble",
        "max_batch_size": spec.engine.max_batch_size,
        "input": tensors(inputs),
        "output": tensors(outputs),
        "ensemble_scheduling": {"step": list(steps)},
        # No step in Python is: its cache would outlive its repair.
        "response_cache": {"enable": cached},
    }


def version_folder(model: str) -> dict[str, str]:
    """What keeps the empty version folder that an ensemble must have."""
    return {f"{model}/{VERSION}/.gitkeep": ""}


def step_of(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Message:
    """A step of an ensemble; by the model's name of a tensor, the ensemble's."""
    # The version is pinned, so that a second one can be loaded beside it before the ensemble moves over.
    return {
        "model_name": model,
        "model_version": VERSION,
        "input_map": [{"key": own, "value": name} for own, name in inputs.items()],
        "output_map": [{"key": own, "value": name} for own, name in outputs.items()],
    }


def named(tensors: Sequence[Tensor]) -> dict[str, str]:
    """Tensors that an ensemble knows by the name that its steps know them by."""
    return {tensor.name: tensor.name for tensor in tensors}


def python_step(
    spec: PipelineSpec, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], batching: Message
) -> Message:
    """A step in Python: one instance, which gets all requests at hand, each by itself."""
    return {
        **interface(spec, name, {"backend": "python"}, inputs, outputs),
        "input": [ragged(tensor) for tensor in tensors(inputs)],
        "instance_group": {"count": 1, "kind": Word("KIND_CPU")},
        "dynamic_batching": batching,
    }


def interface(
    spec: PipelineSpec, name: str, kind: Mapping[str, str], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Message:
    """What a model takes and gives."""
    return {
        "name": name,
        **kind,
        "max_batch_size": spec.engine.max_batch_size,
        "input": tensors(inputs),
        "output": tensors(outputs),
        **_VERSIONS,
    }


def tensors(given: Sequence[Tensor]) -> list[Message]:
    """Inputs or outputs."""
    return [
        {
            "name": tensor.name,
            "data_type": Word(tensor.dtype),
            "dims": list(tensor.dims),
            **({"optional": True} if tensor.optional else {}),
        }
        for tensor in given
    ]


def ragged(tensor: Message) -> Message:
    """Rows of any length may share a batch: a Python step gets each request by itself."""
    return {**tensor, "allow_ragged_batch": True} if tensor["dims"][0] == -1 else tensor


def entries(values: Mapping[str, str]) -> list[Message]:
    """Parameters."""
    return [{"key": key, "value": {"string_value": value}} for key, value in values.items()]


def queue(serving: Serving, *, at_least: int = 0) -> Message:
    """A queue that has an end: one request more is refused at once, one that waited too long later.

    ``at_least`` so many may wait, whatever is allowed: those that a step before it lets through.
    """
    policy = {
        "timeout_action": Word("REJECT"),
        "default_timeout_microseconds": serving.timeout_ms * 1000,
        "allow_timeout_override": True,
        "max_queue_size": max(serving.max_queue_size, at_least),
    }
    return {"default_queue_policy": policy}
