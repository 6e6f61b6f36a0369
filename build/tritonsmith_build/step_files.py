"""What each step reads from its version folder, made from spec and facts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tritonsmith_steps.engine import EngineSettings
from tritonsmith_steps.settings import defaults
from tritonsmith_steps.tokenize import TokenizeSettings

from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS


def padding_values(facts: ModelFacts) -> dict[str, int]:
    """What fills a short row of each engine input."""
    fills = {"input_ids": facts.pad_id, "attention_mask": 0, "token_type_ids": facts.pad_type_id}
    return {name: fills[name] for name in facts.inputs}


def tokenize_settings(spec: PipelineSpec, facts: ModelFacts) -> TokenizeSettings:
    """For the tokenizing step, and for the build, which tokenizes exactly as serving does."""
    return TokenizeSettings(
        inputs=facts.inputs,
        max_length=facts.max_length,
        buckets=facts.buckets,
        max_bytes=spec.input.max_bytes,
        pad={"input_ids": facts.pad_id, "token_type_ids": facts.pad_type_id},
        truncation_side=facts.truncation_side,
        beside=beside(spec, facts),
        reads=TASKS[spec.task].reads,
        cut=TASKS[spec.task].cut,
        stride=facts.stride,
        prompts=facts.prompts,
        prompt=facts.prompt,
    )


def beside(spec: PipelineSpec, facts: ModelFacts) -> tuple[str, ...]:
    """What the first step gives to the answering step alone."""
    task = TASKS[spec.task]
    known = {*facts.inputs, *(tensor.name for tensor in task.inputs)}
    return tuple(tensor.name for tensor in task.kept if tensor.name not in known)


def written(settings: Any) -> dict[str, object]:
    """A dataclass of settings as its file has them, without what is as it would be anyway."""
    left_out = defaults(type(settings))
    return {name: value for name, value in asdict(settings).items() if name not in left_out or value != left_out[name]}


def step_settings(spec: PipelineSpec, facts: ModelFacts) -> dict[str, dict[str, object]]:
    """The content of ``step.json`` for each step, by the step's suffix."""
    task = TASKS[spec.task]
    return {
        "tokenize": written(tokenize_settings(spec, facts)),
        "engine": written(EngineSettings(pad=padding_values(facts), output=task.engine_output)),
        task.step: task.step_settings(facts),
    }
