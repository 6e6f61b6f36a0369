"""The class of an image."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.modalities.images import IMAGES
from tritonsmith_build.tables import ImageSpec, LabelsOutput
from tritonsmith_build.task import IMAGE, ImageModel, Task, option
from tritonsmith_build.tasks.labels import ClassifyGate, activation, class_answers, class_settings, classes


class ImageClassification(ImageSpec):
    """A pipeline that names the class of an image."""

    task: Literal["image-classification"]
    output: LabelsOutput = LabelsOutput()
    gate: ClassifyGate = ClassifyGate()


def facts(model: ImageModel[ImageClassification]) -> dict[str, Any]:
    """The classes, and what makes scores of their logits."""
    return {**classes(model), "activation": activation(model.config), "dims": model.dims(None)}


TASK = Task(
    about="the class of an image",
    modality=IMAGES,
    spec=ImageClassification,
    facts=facts,
    auto_model="AutoModelForImageClassification",
    inputs=(IMAGE,),
    engine_output="logits",
    figures="decisions",
    step="classify",
    answers=class_answers,
    step_settings=class_settings,
    options=(option("FUNCTION_TO_APPLY"),),
)
