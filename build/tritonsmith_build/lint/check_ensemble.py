"""An ensemble's configuration by itself, as Triton's ValidateEnsembleSchedulingConfig reads it.

https://github.com/triton-inference-server/core/blob/main/src/model_config_utils.cc
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith_build.lint.backends import is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found

_REFUSED = {
    "instance_group": "it has no instances of its own; put instance_group on the steps",
    "model_warmup": "put model_warmup on the steps",
    "optimization": "put optimization on the steps",
}


def ensemble(_: Model, file: ConfigFile) -> Iterator[Finding]:
    """It is one wholly or not at all, and every step takes and gives something."""
    config = file.config
    if not is_ensemble(config):
        return
    if config.platform != "ensemble" or config.backend:
        has = " and ".join(f'{key} "{getattr(config, key)}"' for key in ("platform", "backend") if getattr(config, key))
        message = f"it has ensemble_scheduling and {has or 'no platform'}"
        yield found("ensemble-platform", file.path, "platform", message, 'write platform: "ensemble", and no backend')
    for field, fix in _REFUSED.items():
        if _is_set(config, field):
            yield found("ensemble-field-refused", file.path, field, f"Triton refuses an ensemble with {field}", fix)
    if not config.ensemble_scheduling.step:
        message = "the ensemble has no steps"
        fix = "add ensemble_scheduling { step { … } }"
        yield found("ensemble-without-steps", file.path, "ensemble_scheduling.step", message, fix)
    for index, step in enumerate(config.ensemble_scheduling.step):
        for field in ("input_map", "output_map"):
            if not getattr(step, field):
                message = f"step {index}, {step.model_name or 'without a model_name'}, has no {field}"
                fix = f'add {field} {{ key: "the model\'s tensor" value: "the ensemble\'s" }}'
                yield found("step-map-empty", file.path, f"ensemble_scheduling.step[{index}].{field}", message, fix)


def _is_set(config: Any, field: str) -> bool:
    return any(descriptor.name == field for descriptor, _ in config.ListFields())
