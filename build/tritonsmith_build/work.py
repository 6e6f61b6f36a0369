"""One build's pipeline as far as it is known, and how each of its stages is run, shown and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from tritonsmith_steps.tokenize import TokenizeSettings

from tritonsmith_build.examples import Examples, examples_from_file
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.progress import Progress
from tritonsmith_build.stagecache import StageCache, steps_code
from tritonsmith_build.step_files import tokenize_settings
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS

_CALIBRATION_TEXTS = 256


@dataclass
class Work:
    """A pipeline under way."""

    spec: PipelineSpec
    cache: StageCache
    progress: Progress

    def know(self, facts: ModelFacts, tokenizer: Path) -> None:
        """Take in what was read from the model."""
        self.facts, self.tokenizer = facts, tokenizer

    @cached_property
    def settings(self) -> TokenizeSettings:
        """What the tokenizing step works with."""
        return tokenize_settings(self.spec, self.facts)

    @cached_property
    def gate(self) -> Examples:
        """The texts on which a build proves itself."""
        return self._masked(examples_of(self.spec, self.spec.gate.data, "gate.txt"))

    @property
    def gate_labels(self) -> list[int]:
        """Their classes by number, nothing where they have none."""
        if not (self.facts.labels and self.gate.labels) or TASKS[self.spec.task].every_token:
            return []
        return self.gate.label_ids(self.facts.labels, where=self.spec.beside(self.spec.gate.data or Path("gate.txt")))

    @cached_property
    def calibration(self) -> Sequence[str]:
        """The texts from which ranges are measured."""
        return self._masked(examples_of(self.spec, self.spec.calibration.data, "calibration.txt")).texts[:_CALIBRATION_TEXTS]

    def _masked(self, examples: Examples) -> Examples:
        """With a mask instead of the word in the middle of each text, where the model fills in masks."""
        if not self.facts.mask_token:
            return examples
        return replace(examples, texts=tuple(_with_mask(text, self.facts.mask_token) for text in examples.texts))

    def stage(self, name: str, key: str, make: Callable[[Path], None], note: Callable[[Path], str] = lambda _: "") -> Path:
        """The folder of a stage's result, made where there is none for ``key`` yet, with a line of progress."""
        with self.progress.stage(self.spec.name, name) as shown:
            shown.cached = self.cache.has(name, key)
            folder = self.cache.folder(name, key, make)
            shown.note = note(folder)
        return folder


def _with_mask(text: str, mask: str) -> str:
    words = text.split()
    words[len(words) // 2] = mask
    return " ".join(words)


def examples_of(spec: PipelineSpec, data: Path | None, default: str) -> Examples:
    """The spec's own examples, or those that this package brings for specs that name none."""
    if data is not None:
        return examples_from_file(spec.beside(data))
    with resources.as_file(resources.files("tritonsmith_build") / "data" / default) as file:
        return examples_from_file(file)


def served_code() -> str:
    """A digest of the steps that a build runs to prove what will be served."""
    return steps_code("arrays.py", "items.py", "readers.py", "tokenize.py", "engine.py", "lengths.py", "runtimes.py")


def write_figures(file: Path, figures: object) -> None:
    """Keep figures as JSON."""
    file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def figures_in(file: Path) -> Any:
    """Figures as they were kept."""
    return json.loads(file.read_text(encoding="utf-8"))


def megabytes(name: str) -> Callable[[Path], str]:
    """A note that says how large a file of a stage's result is."""
    return lambda folder: f"{(folder / name).stat().st_size / 1e6:.0f} MB"
