"""What each step reads from its version folder, made from spec and facts."""

from __future__ import annotations

from dataclasses import asdict

from tritonsmith_steps.engine import EngineSettings
from tritonsmith_steps.tokenize import TokenizeSettings

from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.spec import PipelineSpec
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
    )


def step_settings(spec: PipelineSpec, facts: ModelFacts) -> dict[str, dict[str, object]]:
    """The content of ``step.json`` for each step, by the step's suffix."""
    task = TASKS[spec.task]
    return {
        "tokenize": asdict(tokenize_settings(spec, facts)),
        "engine": asdict(EngineSettings(pad=padding_values(facts), output=task.engine_output)),
        task.step: task.step_settings(facts),
    }
