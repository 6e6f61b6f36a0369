"""Parts of Triton's configurations, and the files of a Python step, that every kind of pipeline has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tritonsmith_build.pbtxt import Word
from tritonsmith_build.tables import PipelineSpec, Serving
from tritonsmith_build.task import Tensor

VERSION = 1

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


def ensemble(
    spec: PipelineSpec,
    steps: Sequence[Message],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    parameters: Mapping[str, str],
) -> Message:
    """The pipeline's own model."""
    return {
        "name": spec.name,
        "platform": "ensemble",
        "max_batch_size": spec.engine.max_batch_size,
        "input": tensors(inputs),
        "output": tensors(outputs),
        "ensemble_scheduling": {"step": list(steps)},
        # Only here: a step's cache would outlive the step's repair.
        "response_cache": {"enable": spec.serving.cache},
        "parameters": entries({"task": spec.task, **parameters}),
    }


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
        "version_policy": {"specific": {"versions": [VERSION]}},
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


def queue(serving: Serving) -> Message:
    """A queue that has an end: one request more is refused at once, one that waited too long later."""
    policy = {
        "timeout_action": Word("REJECT"),
        "default_timeout_microseconds": serving.timeout_ms * 1000,
        "allow_timeout_override": True,
        "max_queue_size": serving.max_queue_size,
    }
    return {"default_queue_policy": policy}
