"""The class of an image."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.modalities.images import IMAGES
from tritonsmith_build.tables import ImageSpec, LabelsOutput
from tritonsmith_build.task import IMAGE, ImageModel, Task, Tensor, option
from tritonsmith_build.tasks.labels import ClassifyGate, activation, classes


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
    answers=lambda facts: (
        Tensor("LABEL", "TYPE_STRING", (facts.width,)),
        Tensor("SCORE", "TYPE_FP32", (facts.width,)),
    ),
    step_settings=lambda facts: {"labels": list(facts.labels), "activation": facts.activation},
    options=(option("FUNCTION_TO_APPLY"),),
)
