"""Entities and their places in a text."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.tables import AgreementGate, LabelsOutput, Text, TextSpec
from tritonsmith_build.task import OFFSETS, SPECIAL, TEXT, TOKENS, Task, TextModel, each_token, option, text
from tritonsmith_build.tasks.labels import classes


class EntityOutput(LabelsOutput):
    """Names of the classes, and those that are no entity."""

    ignore_labels: tuple[Text, ...] = ("O",)


class TokenClassification(TextSpec):
    """A pipeline that finds entities in a text."""

    task: Literal["token-classification"]
    output: EntityOutput = EntityOutput()
    gate: AgreementGate = AgreementGate()


def facts(model: TextModel[TokenClassification]) -> dict[str, Any]:
    """The classes, and how ``transformers.pipeline("token-classification")`` tells where a word begins."""
    tokenizer = model.tokenizer
    marks = bool(getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))
    ignored = model.spec.output.ignore_labels
    return {**classes(model), "ignored": ignored, "unknown_id": tokenizer.unk_token_id, "marks_continuations": marks}


TASK = Task(
    about="entities and their places in a text",
    spec=TokenClassification,
    facts=facts,
    auto_model="AutoModelForTokenClassification",
    inputs=(TEXT,),
    engine_output="token_logits",
    figures="decisions",
    output_dims=each_token,
    kept=(TEXT, TOKENS, OFFSETS, SPECIAL),
    step="entities",
    answers=lambda facts: (text("ENTITIES"),),
    step_settings=lambda facts: {
        "labels": list(facts.labels),
        "ignored": list(facts.ignored),
        "unknown_id": facts.unknown_id,
        "marks_continuations": facts.marks_continuations,
    },
    options=(option("AGGREGATION_STRATEGY"),),
    answers_with_tokenizer=True,
)
