"""Read a model of images: its processor, translated to what the first step does and compared with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import PreTrainedConfig
from tritonsmith_steps.pixels import PixelMaker, PixelSettings

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ImageFacts
from tritonsmith_build.modalities.drawn import drawn
from tritonsmith_build.modalities.images import IMAGES, PIXEL_VALUES
from tritonsmith_build.quiet import quiet
from tritonsmith_build.source import ModelSource
from tritonsmith_build.stages.graphs import SELECTS, ImageGraph
from tritonsmith_build.stages.read import loaded
from tritonsmith_build.tables import ImageSpec
from tritonsmith_build.task import ImageModel, Task

_TRIALS = ((97, 61), (61, 97), (640, 427), (360, 480), (300, 110), (90, 260), (500, 500))
"""Widths and heights: lying and standing, large and small, narrow, square."""
_NEAR = 1e-5


def model_of_images(
    spec: ImageSpec, source: ModelSource, task: Task, folder: Path
) -> tuple[ImageModel[ImageSpec], dict[str, Any]]:
    """The model, and its facts as ``ImageFacts`` has them. Raises SmithError for a processor that cannot be translated."""
    config, processor = loaded(transformers.AutoConfig, source, spec), image_processor(spec, source)
    where = f"{spec.file}: source"
    facts = translated(processor, where=where)
    name = type(processor).__name__.removesuffix("Pil")
    return ImageModel(spec, source.folder, config, name, dims=partial(_dims, where, task, config, facts)), facts


def image_processor(spec: ImageSpec, source: ModelSource) -> Any:
    """Pillow's: the one that any machine has, and the one that the step is made of."""
    with quiet():  # each processor that could have another backend says so
        return loaded(transformers.AutoImageProcessor, source, spec, backend="pil")


def _dims(where: str, task: Task, config: PreTrainedConfig, read: Mapping[str, Any], answers: Any) -> tuple[int, ...]:
    """The engine's output for two sizes of images, where there may be several: what differs is -1."""
    facts = ImageFacts(model_type=config.model_type, weights={}, width=1, dims=(), **read)
    # With weights by chance: some models look at values on their way, which tensors without memory do not have.
    model = getattr(transformers, task.auto_model).from_config(config, attn_implementation="eager")
    graph = ImageGraph(model, SELECTS[task.engine_output](answers)).eval()
    try:
        with torch.inference_mode():
            shapes = [graph(torch.zeros(1, *dims)).shape[1:] for dims in _examples(facts)]
    except Exception as error:  # an output that has not what the task reads, images of a size that the model does not take
        what = f"{type(model).__name__} does not answer as its task needs ({error!r})"
        raise SmithError(what, where=where, fix="give a model of another family, or one whose processor fits it") from None
    return tuple(size if {shape[at] for shape in shapes} == {size} else -1 for at, size in enumerate(shapes[0]))


def _examples(facts: ImageFacts) -> set[tuple[int, ...]]:
    """Of the engine's input, two where sizes differ."""
    (axes,) = IMAGES.axes(facts).values()
    return {tuple(axis if isinstance(axis, int) else axis.example * times for axis in axes) for times in (1, 2)}


def translated(processor: Any, *, where: str) -> dict[str, Any]:
    """What a processor does, as the keys of ``PixelSettings``.

    It is tried on images of many sizes. Raises SmithError with the processor's name where the step does not do the same.
    """
    name = type(processor).__name__.removesuffix("Pil")
    try:
        made = _settings(name, processor)
        difference = _difference(processor, made)
    except Exception as error:  # a processor of another kind raises whatever it likes
        raise _refused(name, f"{error}" if isinstance(error, ValueError) else repr(error), where) from None
    if difference > _NEAR:
        raise _refused(name, f"its pixels differ by {difference:.2g}", where)
    return made


def _refused(name: str, reason: str, where: str) -> SmithError:
    fix = "only resizing, cutting out the middle, scaling and normalizing can be served; use a model with another processor"
    return SmithError(f"{name} cannot be translated: {reason}", where=where, fix=fix)


def _settings(name: str, processor: Any) -> dict[str, Any]:
    says: Mapping[str, Any] = processor.to_dict()
    made: dict[str, Any] = {"resample": int(says.get("resample", Image.Resampling.BILINEAR))}
    if says.get("do_resize"):
        made |= SIZES.get(name, _size)(says)
    if says.get("do_center_crop"):
        made["crop"] = (says["crop_size"]["height"], says["crop_size"]["width"])
    if says.get("do_rescale"):
        made["scale"] = float(says["rescale_factor"])
    if says.get("do_normalize"):
        made |= {"mean": _three(says["image_mean"]), "std": _three(says["image_std"])}
    if not (made.get("size") or made.get("crop") or made.get("longest")):
        raise ValueError("images of any size would reach the engine")
    return made


def _three(values: Any) -> tuple[float, ...]:
    return tuple(map(float, values)) if isinstance(values, list | tuple) else (float(values),) * 3


def _size(says: Mapping[str, Any]) -> dict[str, Any]:
    """``size`` as most processors mean it."""
    size = {key: value for key, value in says["size"].items() if value is not None}
    match size:
        case {"height": int(height), "width": int(width), **others} if not others:
            return {"size": (height, width)}
        case {"shortest_edge": int(shortest), **others} if others.keys() <= {"longest_edge"}:
            return {"shortest": shortest, **({"longest": others["longest_edge"]} if others else {})}
    raise ValueError(f"its size is {size}")


def _cut_to_patches(says: Mapping[str, Any]) -> dict[str, Any]:
    """YOLOS cuts both sides to a multiple of its patches."""
    made = _size(says)
    return {**made, "multiple": 16} if "longest" in made else made


def _share_of_larger(says: Mapping[str, Any]) -> dict[str, Any]:
    """ConvNeXT resizes small images to a little more and cuts out the middle."""
    edge = int(says["size"]["shortest_edge"])
    if edge >= 384:
        return {"size": (edge, edge)}
    return {"shortest": int(edge / says["crop_pct"]), "crop": (edge, edge)}


SIZES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "ConvNextImageProcessor": _share_of_larger,
    "YolosImageProcessor": _cut_to_patches,
}
"""What ``size`` means where it means something else."""


def _difference(processor: Any, made: Mapping[str, Any]) -> float:
    """The greatest one between the processor's pixels and the step's, over images of all sizes in ``_TRIALS``."""
    make = PixelMaker(PixelSettings(max_bytes=2**30, max_pixels=2**30, **made))
    greatest = 0.0
    for number, size in enumerate(_TRIALS):
        image = drawn(number).resize(size)
        expected = np.asarray(processor(images=[image], return_tensors="np")[PIXEL_VALUES][0])
        pixels = make(image)
        if pixels.shape != expected.shape:
            raise ValueError(f"of {size[0]} x {size[1]} pixels it makes {expected.shape}, not {pixels.shape}")
        greatest = max(greatest, float(np.abs(pixels - expected).max()))
    return greatest
