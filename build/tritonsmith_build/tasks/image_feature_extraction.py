"""What a model sees in an image, as numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modalities.images import IMAGES
from tritonsmith_build.tables import Count, Flag, ImageSpec, Table
from tritonsmith_build.task import IMAGE, ImageModel, Task, Tensor
from tritonsmith_build.tasks.feature_extraction import EmbedGate


class ImageVectorOutput(Table):
    """One vector an image, made by the model's own pooler, or those of all its parts."""

    pool: Flag = True
    normalize: Flag = False
    truncate_dim: Count | None = None


class ImageFeatureExtraction(ImageSpec):
    """A pipeline that turns an image into vectors."""

    task: Literal["image-feature-extraction"]
    output: ImageVectorOutput = ImageVectorOutput()
    gate: EmbedGate = EmbedGate()


def facts(model: ImageModel[ImageFeatureExtraction]) -> dict[str, Any]:
    """What leaves the engine, and what becomes of it."""
    spec, wanted = model.spec, model.spec.output
    dims = model.dims(SimpleNamespace(pool=wanted.pool))
    if not wanted.pool and (wanted.normalize or wanted.truncate_dim):
        fix = "set output.pool = true, or leave both out"
        raise SmithError("only one vector an image is normalized or cut", where=f"{spec.file}: output", fix=fix)
    if wanted.truncate_dim and wanted.truncate_dim > dims[0]:
        fix = f"set truncate_dim <= {dims[0]}"
        raise SmithError(f"a vector has {dims[0]} values", where=f"{spec.file}: output.truncate_dim", fix=fix)
    return {
        "width": dims[0] if wanted.pool else dims[-1],
        "dims": dims,
        "pool": wanted.pool,
        "normalize_again": wanted.normalize,
        "truncate_dim": wanted.truncate_dim,
    }


TASK = Task(
    about="one vector an image, or one for each of its parts",
    modality=IMAGES,
    spec=ImageFeatureExtraction,
    facts=facts,
    auto_model="AutoModel",
    # Where the parts are asked for, nobody reads what the pooler makes of them.
    unneeded=lambda facts: () if facts.pool else ("pooler.",),
    inputs=(IMAGE,),
    engine_output="image_features",
    output_dims=lambda facts: facts.dims,
    figures="cosine",
    step="embed",
    answers=lambda facts: (Tensor("EMBEDDING", "TYPE_FP32", (facts.truncate_dim,) if facts.truncate_dim else facts.dims),),
    step_settings=lambda facts: {
        "reads": "image_features",
        "normalize": False,
        **({"truncate_dim": facts.truncate_dim} if facts.truncate_dim else {}),
        **({"normalize_again": True} if facts.normalize_again else {}),
    },
)
