"""What each step reads from its version folder, made from spec and facts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tritonsmith_steps.engine import EngineSettings
from tritonsmith_steps.settings import defaults

from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS


def written(settings: Any) -> dict[str, object]:
    """A dataclass of settings as its file has them, without what is as it would be anyway."""
    left_out = defaults(type(settings))
    return {name: value for name, value in asdict(settings).items() if name not in left_out or value != left_out[name]}


def step_settings(spec: PipelineSpec, facts: ModelFacts) -> dict[str, dict[str, object]]:
    """The content of ``step.json`` for each step, by the step's module."""
    task = TASKS[spec.task]
    pad = dict(task.modality.padding(facts))
    return {
        task.modality.step: written(task.modality.settings(spec, facts, task)),
        "engine": written(EngineSettings(pad=pad, output=task.engine_output)),
        task.step: task.step_settings(facts),
    }
