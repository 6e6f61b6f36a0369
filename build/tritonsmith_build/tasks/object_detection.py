"""Things in an image and the boxes around them."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modalities.images import IMAGES
from tritonsmith_build.tables import AgreementGate, ImageSpec, LabelsOutput, Share
from tritonsmith_build.task import IMAGE, SIZE, ImageModel, Task, option, text
from tritonsmith_build.tasks.labels import classes

_SOFTMAX_WITH_NOTHING = ("DetrImageProcessor", "YolosImageProcessor")
"""Processors after whose models one of the logits stands for nothing; others make scores of logits in ways of their own."""


class BoxGate(AgreementGate):
    """What a build must prove: places with an equal class, and how far boxes move, relative to the image."""

    max_box_shift: Share = 0.02


class ObjectDetection(ImageSpec):
    """A pipeline that finds things in an image."""

    task: Literal["object-detection"]
    output: LabelsOutput = LabelsOutput()
    gate: BoxGate = BoxGate()


def facts(model: ImageModel[ObjectDetection]) -> dict[str, Any]:
    """The classes. Raises SmithError for a kind of detector that cannot be served."""
    if model.processor not in _SOFTMAX_WITH_NOTHING:
        fix = f"give a DETR or a YOLOS, with a {' or a '.join(_SOFTMAX_WITH_NOTHING)}"
        raise SmithError(f"what follows {model.processor} is not translated", where=f"{model.spec.file}: source", fix=fix)
    return {**classes(model), "dims": model.dims(None)}


TASK = Task(
    about="things in an image and the boxes around them",
    modality=IMAGES,
    spec=ObjectDetection,
    facts=facts,
    auto_model="AutoModelForObjectDetection",
    inputs=(IMAGE,),
    engine_output="detections",
    output_dims=lambda facts: facts.dims,
    figures="boxes",
    kept=(SIZE,),
    step="boxes",
    answers=lambda facts: (text("BOXES"),),
    step_settings=lambda facts: {"labels": list(facts.labels)},
    options=(option("THRESHOLD", "TYPE_FP32"),),
)
