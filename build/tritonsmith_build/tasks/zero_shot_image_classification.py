"""Which of the caller's labels fit an image, by a model that compares images with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import JoinedFacts
from tritonsmith_build.joined import Joined, OwnStep, PartStep
from tritonsmith_build.source import ModelSource
from tritonsmith_build.tables import Calibration, Count, ImageInput, ImageSpec, PipelineSpec, Source
from tritonsmith_build.task import IMAGE, ITEM, TEXT, Tensor, option, several
from tritonsmith_build.tasks.feature_extraction import SIDES, EmbedGate, FeatureExtraction
from tritonsmith_build.tasks.image_feature_extraction import ImageFeatureExtraction

_LABELS, _TEMPLATE = several("CANDIDATE_LABELS"), option("HYPOTHESIS_TEMPLATE")


class LabelledInput(ImageInput):
    """An image and its labels."""

    max_labels: Count = 64
    max_label_bytes: Count = 1000


class LabelCalibration(Calibration):
    """Images in ``data``, and texts."""

    labels: Path | None = None


class LabelGate(EmbedGate):
    """Images in ``data``, and texts. Both parts' vectors are held to the same."""

    labels: Path | None = None


class ZeroShotImageClassification(ImageSpec):
    """A pipeline that says which of the caller's labels fit an image, by a model that compares images with texts."""

    task: Literal["zero-shot-image-classification"]
    input: LabelledInput = LabelledInput()
    calibration: LabelCalibration = LabelCalibration()
    gate: LabelGate = LabelGate()

    @field_validator("source")
    @classmethod
    def _of_weights(cls, source: Source) -> Source:
        if source.onnx:
            raise ValueError("engines of images and of texts cannot be made of one ONNX graph; give the model's weights")
        return source


def parts(spec: ZeroShotImageClassification) -> Mapping[str, PipelineSpec]:
    """Vectors of images and vectors of texts."""
    shared = {
        "folder": spec.folder,
        "part_of": spec.name,
        "source": spec.source.model_dump(exclude_none=True),
        "serving": spec.serving.model_dump(),
    }
    limits = spec.gate.model_dump(exclude={"data", "labels"})
    engine, most = spec.engine.model_dump(), spec.input.max_labels
    best = min(spec.engine.tensorrt.best_batch_size or most, most)
    return {
        "image": ImageFeatureExtraction.model_validate({
            **shared,
            "task": "image-feature-extraction",
            "name": f"{spec.name}_image",
            "input": spec.input.model_dump(exclude={"max_labels", "max_label_bytes"}),
            "engine": engine,
            "calibration": {"data": spec.calibration.data},
            "gate": {**limits, "data": spec.gate.data},
        }),
        "text": FeatureExtraction.model_validate({
            **shared,
            "task": "feature-extraction",
            "name": f"{spec.name}_text",
            "input": {"max_bytes": 2 * spec.input.max_label_bytes},  # a label in its template
            "engine": {**engine, "max_batch_size": most, "tensorrt": {**engine["tensorrt"], "best_batch_size": best}},
            "calibration": {"data": spec.calibration.labels},
            "gate": {**limits, "data": spec.gate.labels},
        }),
    }  # fmt: skip


def read(spec: ZeroShotImageClassification, source: ModelSource) -> JoinedFacts:
    """What makes scores of cosines. Raises SmithError for a model that compares nothing."""
    import transformers

    from tritonsmith_build.stages.read import loaded

    model = loaded(transformers.AutoModel, source, spec)
    if not hasattr(model, "logit_scale") or model.config.model_type not in SIDES:
        fix = "give a model that compares images with texts, such as a CLIP"
        raise SmithError(f"{type(model).__name__} compares no images with texts", where=f"{spec.file}: source", fix=fix)
    # transformers.pipeline goes by the name too.
    each = "siglip" in model.config.model_type
    return JoinedFacts(
        model_type=model.config.model_type,
        weights=source.weights,
        width=SIDES[model.config.model_type](model.config).width,
        scale=float(model.logit_scale.exp()),
        bias=float(model.logit_bias) if hasattr(model, "logit_bias") else 0.0,
        activation="sigmoid" if each else "softmax",
    )


def steps(spec: ZeroShotImageClassification, facts: JoinedFacts) -> Sequence[OwnStep | PartStep]:
    """The image becomes a vector, then the labels texts and those vectors; then they are compared.

    One after the other: Triton 2.51 falls when one of two branches of an ensemble fails while the other is under way.
    """
    vector = Tensor("LABEL_VECTOR", "TYPE_FP32", (facts.width,))
    vectors = Tensor("LABEL_VECTORS", "TYPE_FP32", (-1, facts.width))
    image = Tensor("IMAGE_VECTOR", "TYPE_FP32", (facts.width,))
    limits = {"max_bytes": spec.input.max_label_bytes, "max_labels": spec.input.max_labels}
    settings = {"scale": facts.scale, "bias": facts.bias, "activation": facts.activation}
    return [
        PartStep("image", {"IMAGE": "IMAGE"}, {"EMBEDDING": image.name}),
        OwnStep("labels", (_LABELS, _TEMPLATE, image), (TEXT, ITEM), limits),
        PartStep("text", {"TEXT": "TEXT"}, {"EMBEDDING": vector.name}),
        OwnStep("stack", (vector, ITEM), (vectors,), several=True),
        OwnStep("compare", (image, vectors, _LABELS), TASK.answers, settings),
    ]


TASK = Joined(
    about="which of the caller's labels fit an image",
    spec=ZeroShotImageClassification,
    parts=parts,
    auto_model="AutoModel",
    reads=read,
    code=("tasks/zero_shot_image_classification.py", "joined.py"),
    inputs=(IMAGE, _LABELS),
    options=(_TEMPLATE,),
    answers=(several("LABEL"), several("SCORE", "TYPE_FP32")),
    steps=steps,
)
