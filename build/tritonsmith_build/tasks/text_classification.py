"""The class of a text, or of a pair of texts."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.facts import Activation
from tritonsmith_build.tables import AgreementGate, LabelsOutput, PipelineSpec, Share
from tritonsmith_build.task import TEXT, Model, Task, Tensor, option
from tritonsmith_build.tasks.labels import classes


class ClassifyGate(AgreementGate):
    """What a build of a classifier must prove against FP32 on the gate's text."""

    max_accuracy_drop: Share = 0.01


class TextClassification(PipelineSpec):
    """A pipeline that names the class of a text."""

    task: Literal["text-classification"]
    output: LabelsOutput = LabelsOutput()
    gate: ClassifyGate = ClassifyGate()


def facts(model: Model[TextClassification]) -> dict[str, Any]:
    """The classes, and what makes scores of their logits."""
    found = classes(model)
    return {**found, "activation": _activation(model, found["width"])}


def _activation(model: Model[TextClassification], width: int) -> Activation:
    """What ``transformers.pipeline("text-classification")`` applies to the logits."""
    if model.config.problem_type == "regression":
        return "none"
    return "sigmoid" if model.config.problem_type == "multi_label_classification" or width == 1 else "softmax"


TASK = Task(
    about="the class of a text, or of a pair of texts",
    spec=TextClassification,
    facts=facts,
    auto_model="AutoModelForSequenceClassification",
    inputs=(TEXT, option("TEXT_PAIR")),
    engine_output="logits",
    figures="decisions",
    step="classify",
    answers=lambda facts: (
        Tensor("LABEL", "TYPE_STRING", (facts.width,)),
        Tensor("SCORE", "TYPE_FP32", (facts.width,)),
    ),
    step_settings=lambda facts: {"labels": list(facts.labels), "activation": facts.activation},
    options=(option("FUNCTION_TO_APPLY"),),
)
