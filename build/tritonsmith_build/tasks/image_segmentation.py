"""The class of every pixel of an image."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.modalities.images import IMAGES
from tritonsmith_build.tables import AgreementGate, ImageSpec, LabelsOutput
from tritonsmith_build.task import IMAGE, SIZE, ImageModel, Task, text
from tritonsmith_build.tasks.labels import classes


class ImageSegmentation(ImageSpec):
    """A pipeline that says what every pixel of an image belongs to."""

    task: Literal["image-segmentation"]
    output: LabelsOutput = LabelsOutput()
    gate: AgreementGate = AgreementGate()


def facts(model: ImageModel[ImageSegmentation]) -> dict[str, Any]:
    """The classes."""
    return {**classes(model), "dims": model.dims(None)}


TASK = Task(
    about="the class of every pixel of an image",
    modality=IMAGES,
    spec=ImageSegmentation,
    facts=facts,
    auto_model="AutoModelForSemanticSegmentation",
    inputs=(IMAGE,),
    engine_output="pixel_logits",
    output_dims=lambda facts: facts.dims,
    figures="decisions",
    kept=(SIZE,),
    step="segments",
    answers=lambda facts: (text("MAP"), text("SEGMENTS")),
    step_settings=lambda facts: {"labels": list(facts.labels)},
)
