"""``tritonsmith finetune``: from labelled text and a spec to the adapter that the spec names, with its card."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import Examples, examples_from_file, label_ids
from tritonsmith_build.finetune import FinetuneResult, FinetuneSettings, finetune
from tritonsmith_build.repository import place_files
from tritonsmith_build.source import ModelSource, locate
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks.text_classification import TextClassification

_VERSIONS = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Data:
    """The files a run reads, and a sentence about what they are."""

    train: Path
    dev: Path
    about: str


def finetune_for(
    spec: PipelineSpec, data: Data, *, output: Path | None, settings: FinetuneSettings, command: str, console: Console
) -> FinetuneResult:
    """Train the adapter of ``spec`` and put it where ``source.adapter`` says, or into ``output``.

    Measures on ``data.dev``, on those of its texts that training has not seen, and on the spec's own gate. Nothing is
    written before all that is done. Raises SmithError for a spec or data that do not fit.
    """
    if not isinstance(spec, TextClassification) or not spec.output.labels:
        fix = "give it task = 'text-classification' and [output] labels = […], in the order of their numbers"
        raise SmithError("names no classes to learn", where=spec.file, fix=fix)
    if spec.source.onnx or spec.source.script:
        fix = "give the weights: source.path, source.package or source.hub alone"
        raise SmithError("only weights that transformers loads can be fine-tuned", where=f"{spec.file}: source", fix=fix)
    target = output or (spec.beside(spec.source.adapter) if spec.source.adapter else None)
    if target is None:
        raise SmithError("names no adapter", where=spec.file, fix="set source.adapter, or give --output")
    base = locate(spec.model_copy(update={"source": spec.source.model_copy(update={"adapter": None})}))
    train, dev = (_labelled(file, spec) for file in (data.train, data.dev))
    held_out = {"dev": dev, "unseen": _unseen(dev, train)}
    if spec.gate.data:
        held_out["gate"] = _labelled(spec.beside(spec.gate.data), spec)
    held_out = {name: examples for name, examples in held_out.items() if examples.texts}
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        with _shown(console) as callback:
            result = finetune(base.folder, train, held_out, spec.output.labels, made, settings=settings, callbacks=[callback])
        card = _card(spec, base, data, len(train.texts), settings, result, command)
        (made / "README.md").write_text(card, encoding="utf-8")
        place_files({target / file.name: file for file in made.iterdir()})
    return result


def _labelled(file: Path, spec: TextClassification) -> Examples:
    examples = examples_from_file(file)
    if not examples.labels:
        raise SmithError("has no column 'label'", where=file, fix="add one")
    label_ids(examples.labels, spec.output.labels or (), where=file)
    return examples


def _unseen(dev: Examples, train: Examples) -> Examples:
    """The texts of ``dev`` that are no text of ``train`` and no part of one: a split of phrases overlaps."""
    seen = "\n".join(text.strip() for text in train.texts)
    kept = [index for index, text in enumerate(dev.texts) if text.strip() not in seen]
    return Examples(tuple(dev.texts[i] for i in kept), tuple(dev.labels[i] for i in kept))


class _Bar(TrainerCallback):
    """Moves a progress bar along with the trainer's steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("training", total=None, loss="")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress.update(self._task, completed=state.global_step, total=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._progress.update(self._task, loss=f"loss {float(logs['loss']):.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress.update(self._task, description="measuring")


@contextlib.contextmanager
def _shown(console: Console) -> Iterator[TrainerCallback]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as progress:
        yield _Bar(progress)


_SETS = {
    "dev": "`{dev}`",
    "unseen": "of these, texts that are no part of any training text",
    "gate": "the pipeline's own gate, written for it and unlike the training data",
}


def _card(
    spec: TextClassification,
    base: ModelSource,
    data: Data,
    rows: int,
    settings: FinetuneSettings,
    result: FinetuneResult,
    command: str,
) -> str:
    weights = ", ".join(f"`{name}` with SHA-256 `{digest}`" for name, digest in base.weights.items())
    figures = "\n".join(
        f"| {_SETS[name].format(dev=data.dev.name)} | {row.examples} | {row.accuracy:.4f} |"
        for name, row in result.accuracy.items()
    )
    tools = ", ".join(f"{package} {metadata.version(package)}" for package in _VERSIONS)
    return f"""\
# Adapter for `{spec.name}`

A LoRA adapter of rank {settings.rank} and a classification head for {", ".join(spec.output.labels or ())}, in peft's format.

- **Base**: {weights}.
- **Data**: `{data.train.name}`, {rows} rows. {data.about}
- **Made by** `{command}` in {result.seconds / 60:.0f} minutes, with {tools}; the settings stand in `finetune.json`.

| measured on (FP32) | texts | accuracy |
|---|---|---|
{figures}
"""
