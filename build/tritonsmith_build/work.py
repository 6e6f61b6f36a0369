"""One build's pipeline as far as it is known, and how each of its stages is run, shown and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tritonsmith_build.examples import label_ids
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.modality import Samples
from tritonsmith_build.progress import Progress
from tritonsmith_build.stagecache import StageCache, code, digest, steps_code
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS


@dataclass
class Work:
    """A pipeline under way."""

    spec: PipelineSpec
    cache: StageCache
    progress: Progress

    def __post_init__(self) -> None:
        self.task = TASKS[self.spec.task]
        self.modality = self.task.modality

    def know(self, facts: ModelFacts, folder: Path) -> None:
        """Take in what was read from the model; ``folder`` has the files of its modality."""
        self.facts, self.folder = facts, folder

    @cached_property
    def gate(self) -> Samples:
        """On what a build proves itself."""
        return self.modality.samples(self.spec, self.facts, self.task, self.folder, "gate")

    @property
    def gate_labels(self) -> list[int]:
        """Their classes by number, nothing where they have none."""
        if not (self.facts.labels and self.gate.labels) or len(self.task.output_dims(self.facts)) > 1:
            return []
        where = self.spec.beside(self.spec.gate.data) if self.spec.gate.data else "the gate's data"
        return label_ids(self.gate.labels, self.facts.labels, where=where)

    @cached_property
    def calibration(self) -> Samples:
        """From what ranges are measured."""
        return self.modality.samples(self.spec, self.facts, self.task, self.folder, "calibration")

    @cached_property
    def drift(self) -> Samples:
        """With what callers' inputs are compared: the spec's own, or the gate's."""
        if self.spec.drift.data is None:
            return self.gate
        return self.modality.samples(self.spec, self.facts, self.task, self.folder, "drift")

    @property
    def proved_by(self) -> str:
        """A digest of the code that a build proves an engine with, the serving steps' included."""
        steps = steps_code("arrays.py", "engine.py", "lengths.py", "runtimes.py", *self.modality.steps)
        return digest(code("outputs.py", "modality.py", *self.modality.code), steps)

    def stage(self, name: str, key: str, make: Callable[[Path], None], note: Callable[[Path], str] = lambda _: "") -> Path:
        """The folder of a stage's result, made where there is none for ``key`` yet, with a line of progress."""
        with self.progress.stage(self.spec.name, name) as shown:
            shown.cached = self.cache.has(name, key)
            folder = self.cache.folder(name, key, make)
            shown.note = note(folder)
        return folder


def write_figures(file: Path, figures: object) -> None:
    """Keep figures as JSON."""
    file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def figures_in(file: Path) -> Any:
    """Figures as they were kept."""
    return json.loads(file.read_text(encoding="utf-8"))


def megabytes(name: str) -> Callable[[Path], str]:
    """A note that says how large a file of a stage's result is."""
    return lambda folder: f"{(folder / name).stat().st_size / 1e6:.0f} MB"
