"""Recordings: decoded and resampled by the first step, then waves of any length or in buckets, or loudness by frequency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.lengths import MASK
from tritonsmith_steps.sounds import Samples as Sound
from tritonsmith_steps.sounds import SoundLimits, sound
from tritonsmith_steps.waves import VALUES, Heard, WaveMaker, WaveSettings, waves_of

from tritonsmith_build.facts import SoundFacts
from tritonsmith_build.modalities.folders import Files, sources_for
from tritonsmith_build.modalities.voiced import voiced
from tritonsmith_build.modality import Axis, Modality, Purpose, Shape
from tritonsmith_build.tables import PipelineSpec

if TYPE_CHECKING:
    import torch

    from tritonsmith_build.task import Task

SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class Recordings(Files[WaveSettings]):
    """Recordings from files or sounds made by chance, as the served step makes engine input of them."""

    def batches(self, rows: int, *, as_on_gpu: bool = False) -> Iterator[Arrays]:
        """Consecutive recordings; a batch of waves is as long as its longest, ``as_on_gpu`` as the next bucket."""
        for start in range(0, len(self.sources), rows):
            heard = [self._heard(source) for source in self.sources[start : start + rows]]
            if self.settings.bands:
                yield {VALUES: np.stack(heard)}
                continue
            longest = max(map(len, heard))
            fitting = (bucket for bucket in self.settings.buckets if bucket >= longest)
            yield waves_of(heard, next(fitting) if as_on_gpu else longest)

    def at(self, rows: int, shape: Shape, *, blank: bool = False) -> Arrays:
        """A batch of recordings as they are and repeated to the whole length, by turns."""
        heard = [self._heard(self.sources[row % len(self.sources)]) for row in range(rows)]
        if self.settings.bands:
            return {VALUES: np.stack(heard)}
        (length,) = shape.dims[VALUES]
        batch = waves_of([np.resize(one, length) if row % 2 == 0 else one[:length] for row, one in enumerate(heard)], length)
        if blank:
            for array in batch.values():
                array[-1] = 0
        return batch

    def _heard(self, source: Path | int) -> Heard:
        return self.usable(lambda source: WaveMaker(self.settings)(self._samples(source)), source)

    def _samples(self, source: Path | int) -> Sound:
        settings = self.settings
        if isinstance(source, int):
            return voiced(source, settings.rate)[: settings.max_seconds * settings.rate]
        return sound(source.read_bytes(), SoundLimits(settings.max_bytes, settings.max_seconds), settings.rate)


def _samples(spec: PipelineSpec, facts: SoundFacts, task: Task, folder: Path, purpose: Purpose) -> Recordings:
    """The recordings of the folder that the spec names, each of the class that its own folder is named after; or made ones."""
    return Recordings(_settings(spec, facts, task), *sources_for(spec, purpose, SUFFIXES, "recording"))


def _settings(spec: Any, facts: SoundFacts, task: Task) -> WaveSettings:
    """For the first step, and for the build, which makes engine input exactly as serving does."""
    read = facts.model_dump(include={"rate", "least", "max_seconds", "zero_mean", "bands", "frames", "mean", "std"})
    return WaveSettings(max_bytes=spec.input.max_bytes, buckets=[seconds * facts.rate for seconds in facts.buckets], **read)


def _axes(facts: SoundFacts) -> Mapping[str, tuple[Axis | int, ...]]:
    if facts.bands:
        return {VALUES: (facts.frames, facts.bands)}
    samples = Axis("samples", facts.least, facts.max_seconds * facts.rate, example=max(2 * facts.least, facts.rate // 4))
    return {VALUES: (samples,), MASK: (samples,)}


def _shapes(facts: SoundFacts) -> Sequence[Shape]:
    """A bucket each, or the one shape of all recordings."""
    if facts.bands:
        return [Shape(f"{facts.frames} frames", {VALUES: (facts.frames, facts.bands)})]
    return [Shape(f"{seconds} s", dict.fromkeys((VALUES, MASK), (seconds * facts.rate,))) for seconds in facts.buckets]


def _graph(model: torch.nn.Module, select: Any, facts: SoundFacts) -> torch.nn.Module:
    from tritonsmith_build.stages.graphs import SoundGraph

    return SoundGraph(model, select)


SOUNDS = Modality(
    noun="recordings",
    step="waves",
    facts=SoundFacts,
    reads="read_sounds:model_of_sounds",
    reads_graph=None,
    code=("modalities/sounds.py", "modalities/voiced.py", "modalities/folders.py", "stages/hearing.py"),
    steps=("sounds.py", "waves.py", "bands.py", "files.py"),
    files=(),
    dtypes={VALUES: "TYPE_FP32", MASK: "TYPE_INT32"},
    axes=_axes,
    shapes=_shapes,
    padding=lambda facts: dict.fromkeys(_axes(facts), 0),
    settings=_settings,
    parameters={"": {"padding": "bucket"}, "cpu": {"padding": "longest"}},
    cuts=lambda facts: bool(facts.bands),
    timed=8,
    samples=_samples,
    graph=_graph,
)
