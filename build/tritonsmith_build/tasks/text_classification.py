"""The class of a text, or of a pair of texts."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.tables import LabelsOutput, TextSpec
from tritonsmith_build.task import TEXT, Model, Task, option
from tritonsmith_build.tasks.labels import ClassifyGate, activation, class_answers, class_settings, classes


class TextClassification(TextSpec):
    """A pipeline that names the class of a text."""

    task: Literal["text-classification"]
    output: LabelsOutput = LabelsOutput()
    gate: ClassifyGate = ClassifyGate()


def facts(model: Model[TextClassification]) -> dict[str, Any]:
    """The classes, and what makes scores of their logits."""
    return {**classes(model), "activation": activation(model.config)}


TASK = Task(
    about="the class of a text, or of a pair of texts",
    spec=TextClassification,
    facts=facts,
    auto_model="AutoModelForSequenceClassification",
    inputs=(TEXT, option("TEXT_PAIR")),
    engine_output="logits",
    figures="decisions",
    step="classify",
    answers=class_answers,
    step_settings=class_settings,
    options=(option("FUNCTION_TO_APPLY"),),
)
