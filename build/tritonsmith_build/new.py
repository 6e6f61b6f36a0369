"""``tritonsmith new``: the spec of a model that somebody has, its task guessed from what the model says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from tritonsmith_build.errors import SmithError
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.stages.beside import json_in
from tritonsmith_build.tasks import JOINED, TASKS

_FETCHED = ("config.json", "modules.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Setting:
    """A key of the spec, its value, and why it has it."""

    key: str
    value: str
    why: str


@dataclass(frozen=True)
class Said:
    """What a model's files say of it."""

    architecture: str
    """As ``BertForSequenceClassification``."""
    labels: tuple[str, ...]
    embeds: bool
    """Whether sentence-transformers' files lie beside it."""
    sees: bool
    """Whether an image processor lies beside it."""
    hears: bool = False
    """Whether a feature extractor of sounds lies beside it."""
    compares: bool = False
    """Whether it has a side for images and one for texts."""

    @classmethod
    def by(cls, folder: Path) -> Said:
        """The files in a folder. Raises SmithError where it is no model's."""
        config = json_in(folder / "config.json")
        if not config and not graphs_in(folder):
            raise SmithError("holds no config.json", where=folder, fix="give a folder that save_pretrained wrote, or a hub id")
        beside = json_in(folder / "preprocessor_config.json")
        named = config.get("id2label") or {str(at): f"LABEL_{at}" for at in range(config.get("num_labels", 2))}
        return cls(
            architecture=next(iter(config.get("architectures") or ()), ""),
            labels=tuple(named[at] for at in sorted(named, key=int)),
            embeds=(folder / "modules.json").is_file(),
            sees=bool(beside) and "sampling_rate" not in beside,
            hears="sampling_rate" in beside,
            compares={"vision_config", "text_config"} <= config.keys(),
        )


@dataclass(frozen=True)
class Guess:
    """A task, where a model's architecture ends so and more may be true of it."""

    ending: str
    task: str
    why: str
    where: Callable[[Said], bool] = lambda said: True


def graphs_in(folder: Path) -> list[str]:
    """The ONNX files of a folder that holds no weights, as ``source.onnx`` names them."""
    if any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin")):
        return []
    return sorted(file.relative_to(folder).as_posix() for place in (folder, folder / "onnx") for file in place.glob("*.onnx"))


def _infers(said: Said) -> bool:
    return any(label.lower().startswith("entail") for label in said.labels)


GUESSES = (
    Guess("", "feature-extraction", "sentence-transformers' files lie beside it", lambda said: said.embeds),
    Guess("ForCTC", "automatic-speech-recognition", "its head writes down what is said"),
    Guess("ForAudioClassification", "audio-classification", "its head classifies recordings"),
    Guess("ForSequenceClassification", "audio-classification", "its head classifies recordings", lambda said: said.hears),
    Guess("ForSequenceClassification", "text-ranking", "its head gives one score", lambda said: len(said.labels) == 1),
    Guess("ForSequenceClassification", "zero-shot-classification", "one of its classes is entailment", _infers),
    Guess("ForSequenceClassification", "text-classification", "its head classifies texts"),
    Guess("ForTokenClassification", "token-classification", "its head classifies tokens"),
    Guess("ForQuestionAnswering", "question-answering", "its head finds spans"),
    Guess("ForMaskedLM", "fill-mask", "its head fills in masks"),
    Guess("ForImageClassification", "image-classification", "its head classifies images"),
    Guess("ForObjectDetection", "object-detection", "its head finds boxes"),
    Guess("ForSemanticSegmentation", "image-segmentation", "its head classifies pixels"),
    Guess("Model", "zero-shot-image-classification", "it compares images with texts", lambda said: said.compares),
    Guess("Model", "image-feature-extraction", "it has no head, and an image processor", lambda said: said.sees),
    Guess("Model", "feature-extraction", "it has no head"),
)
"""The first that is true of a model is its task."""


@dataclass(frozen=True)
class Made:
    """A spec that was written."""

    file: Path
    settings: tuple[Setting, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"file": str(self.file), "settings": [asdict(setting) for setting in self.settings]}


def new(model: str, *, task: str | None, name: str | None, revision: str | None, pipelines: Path) -> Made:
    """Write the spec of a folder's or a hub's model into the folder ``pipelines``.

    Raises SmithError for a model that no task fits, and where a spec of that name is there already.
    """
    folder = Path(model).expanduser()
    is_local = folder.is_dir() or model.startswith((".", "/", "~")) or model.count("/") != 1
    source = _local(folder, pipelines) if is_local else _hub(model, revision)
    said = Said.by(folder if is_local else _fetched(model, source[1].value))
    wanted = Setting("task", task, "as you say") if task else _guessed(said, model)
    if wanted.value not in TASKS | JOINED:
        raise SmithError(f"unknown task {wanted.value!r}", where="--task", fix=f"use one of {', '.join(TASKS | JOINED)}")
    file = pipelines / f"{name or _name(folder.resolve().name if is_local else model.partition('/')[2])}.toml"
    if file.exists():
        raise SmithError("is there already", where=file, fix="give another --name, or delete it")
    precision = Setting("engine.precision", "fp32", "the model as it is; int8 is faster where it passes the gate")
    settings = (wanted, *source, precision)
    pipelines.mkdir(parents=True, exist_ok=True)
    file.write_text(_toml(settings), encoding="utf-8")
    try:
        spec_from_file(file)
    except SmithError:  # a name that is none, say
        file.unlink()
        raise
    return Made(file, settings)


def _guessed(said: Said, model: str) -> Setting:
    for guess in GUESSES:
        if said.architecture.endswith(guess.ending) and guess.where(said):
            return Setting("task", guess.task, f"{said.architecture or 'the model'}: {guess.why}")
    what = f"no task is known for {said.architecture or 'a model that names no architecture'}"
    raise SmithError(what, where=model, fix=f"name one: --task {'|'.join(TASKS | JOINED)}")


def _local(folder: Path, pipelines: Path) -> tuple[Setting, ...]:
    if not folder.is_dir():
        raise SmithError("no such folder", where=folder, fix="correct it, or give a hub id as owner/name")
    graphs = graphs_in(folder)
    if len(graphs) > 1:
        fix = "keep one of them there, or write the spec yourself: [source] path and onnx"
        raise SmithError(f"holds several graphs: {', '.join(graphs)}", where=folder, fix=fix)
    # From where the spec will lie: the two move together.
    path = os.path.relpath(folder.resolve(), pipelines.resolve())
    graph = [Setting("source.onnx", name, "it holds a graph and no weights") for name in graphs]
    return Setting("source.path", path, "taken from the spec's own folder"), *graph


def _hub(model: str, revision: str | None) -> tuple[Setting, ...]:
    where = Setting("source.hub", model, "on the Hugging Face hub")
    if revision:
        return where, Setting("source.revision", revision, "as you say")
    from huggingface_hub import model_info

    try:
        found = model_info(model).sha
    except Exception as error:  # no network, no such model, gated
        raise _unreachable(model, error) from None
    return where, Setting("source.revision", str(found), "its newest one, so that a rebuild gives the same model")


def _fetched(model: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_FETCHED)))
    except Exception as error:
        raise _unreachable(model, error) from None


def _unreachable(model: str, error: Exception) -> SmithError:
    fix = "check the name, the network and HF_TOKEN, or download it and give its folder"
    return SmithError(f"cannot be read from the hub: {str(error).strip().splitlines()[0]}", where=model, fix=fix)


def _name(model: str) -> str:
    """As Triton's models are named: small letters, digits and underscores, beginning with a letter."""
    made = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")
    return made if made[:1].isalpha() else f"model_{made}"


def _toml(settings: Sequence[Setting]) -> str:
    """Top keys first, then a table each."""
    content: dict[str, Any] = {}
    for setting in settings:
        *tables, key = setting.key.split(".")
        place = content
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = setting.value
    return tomli_w.dumps(content)
