"""Images: decoded, resized and normalized by the first step, all to one size or each in its own proportions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.pictures import PictureLimits, picture
from tritonsmith_steps.pixels import PixelMaker, Pixels, PixelSettings

from tritonsmith_build.facts import ImageFacts
from tritonsmith_build.modalities.drawn import drawn
from tritonsmith_build.modalities.folders import Files, sources_for
from tritonsmith_build.modality import Axis, Dims, Modality, Purpose, Shape
from tritonsmith_build.tables import PipelineSpec

if TYPE_CHECKING:
    import torch

    from tritonsmith_build.task import Task

PIXEL_VALUES = "pixel_values"
LEAST = 16
"""Of both sides, where images come out in their own proportions: a patch of the coarser vision transformers."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Pictures(Files[PixelSettings]):
    """Images from files or drawn ones, made to pixels as the served step does it."""

    def batches(self, rows: int, *, as_on_gpu: bool = False) -> Iterator[Arrays]:
        """Consecutive images of one size together."""
        make = PixelMaker(self.settings)
        for _, alike in groupby((self._pixels(make, source) for source in self.sources), key=lambda pixels: pixels.shape):
            images = list(alike)
            for start in range(0, len(images), rows):
                yield {PIXEL_VALUES: np.stack(images[start : start + rows])}

    def at(self, rows: int, shape: Shape, *, blank: bool = False) -> Arrays:
        """A batch of images that are resized to this shape, whatever their proportions; there is no padding."""
        height, width = shape.dims[PIXEL_VALUES][1:]
        make = PixelMaker(replace(self.settings, size=(height, width), crop=None))
        sources = [self.sources[row % len(self.sources)] for row in range(rows)]
        return {PIXEL_VALUES: np.stack([self._pixels(make, source) for source in sources])}

    def _pixels(self, make: PixelMaker, source: Path | int) -> Pixels:
        return self.usable(lambda source: make(self._image(source)), source)

    def _image(self, source: Path | int) -> Image.Image:
        if isinstance(source, int):
            return drawn(source)
        return picture(source.read_bytes(), PictureLimits(self.settings.max_bytes, self.settings.max_pixels))


def _samples(spec: PipelineSpec, facts: ImageFacts, task: Task, folder: Path, purpose: Purpose) -> Pictures:
    """The images of the folder that the spec names, each of the class that its own folder is named after; or drawn ones."""
    return Pictures(_settings(spec, facts, task), *sources_for(spec, purpose, SUFFIXES, "image"))


def _settings(spec: Any, facts: ImageFacts, task: Task) -> PixelSettings:
    """For the first step, and for the build, which makes pixels exactly as serving does."""
    read = facts.model_dump(include={"resample", "size", "shortest", "longest", "multiple", "crop", "scale", "mean", "std"})
    return PixelSettings(
        max_bytes=spec.input.max_bytes,
        max_pixels=spec.input.max_pixels,
        least=1 if facts.one_size else LEAST,
        beside=tuple(tensor.name for tensor in task.beside(facts)),
        **read,
    )


def _axes(facts: ImageFacts) -> Mapping[str, tuple[Axis | int, ...]]:
    if facts.one_size:
        return {PIXEL_VALUES: (3, *facts.one_size)}
    height, width = (
        Axis(name, LEAST, _longest(facts), example=size, multiple=facts.multiple)
        for name, size in (("height", 4 * LEAST), ("width", 6 * LEAST))
    )
    return {PIXEL_VALUES: (3, height, width)}


def _longest(facts: ImageFacts) -> int:
    longest = facts.longest or 0
    return longest - longest % facts.multiple


def _shapes(facts: ImageFacts) -> Sequence[Shape]:
    """The one size; or images that lie and that stand, each from the least size on."""
    if facts.one_size:
        return [_shape(*facts.one_size)]
    short, long = (size - size % facts.multiple for size in (facts.shortest or 0, _longest(facts)))
    usual = min(long, short * 4 // 3 // facts.multiple * facts.multiple)
    least = {PIXEL_VALUES: (3, LEAST, LEAST)}
    return [
        Shape(f"{height} x {width} pixels", {PIXEL_VALUES: (3, height, width)}, least, {PIXEL_VALUES: most})
        for height, width, most in ((short, usual, (3, short, long)), (usual, short, (3, long, short)))
    ]


def _shape(height: int, width: int) -> Shape:
    dims: Dims = (3, height, width)
    return Shape(f"{height} x {width} pixels", {PIXEL_VALUES: dims})


def _graph(model: torch.nn.Module, select: Any, facts: ImageFacts) -> torch.nn.Module:
    from tritonsmith_build.stages.graphs import ImageGraph

    return ImageGraph(model, select)


IMAGES = Modality(
    noun="images",
    step="pixels",
    facts=ImageFacts,
    reads="read_images:model_of_images",
    reads_graph="own_read:graph_of_images",
    code=("modalities/images.py", "modalities/drawn.py", "modalities/folders.py"),
    steps=("pictures.py", "pixels.py", "files.py"),
    files=(),
    dtypes={PIXEL_VALUES: "TYPE_FP32"},
    axes=_axes,
    shapes=_shapes,
    padding=lambda facts: {PIXEL_VALUES: 0},
    settings=_settings,
    parameters={"": {}},
    cuts=lambda facts: False,
    timed=8,
    samples=_samples,
    graph=_graph,
)
