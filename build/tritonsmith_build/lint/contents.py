"""A model repository as the rules see it: everything is read already, nothing is opened any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STEP = "step.json"
DEFAULT = ""
"""The name of ``config.pbtxt`` among a model's configurations; any other is ``configs/<name>.pbtxt``."""


@dataclass(frozen=True)
class OnnxTensor:
    """An input or output of an ONNX graph, with Triton's word for its type; -1 is a free dimension, no dims a free rank."""

    name: str
    dtype: str
    dims: tuple[int, ...] | None


@dataclass(frozen=True)
class OnnxGraph:
    """What an ONNX file takes and gives, and the files beside it that hold its weights."""

    inputs: tuple[OnnxTensor, ...]
    outputs: tuple[OnnxTensor, ...]
    data_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConfigFile:
    """A configuration that Triton's protobuf reads."""

    path: str
    text: str
    config: Any


@dataclass(frozen=True)
class Version:
    """A version folder: sizes of its files by their path inside it, texts of those that rules look into."""

    number: int
    path: str
    files: Mapping[str, int]
    texts: Mapping[str, str]
    graphs: Mapping[str, OnnxGraph | str]
    """By file; a text says why one does not read."""

    def json(self, name: str) -> Any:
        """The content of a JSON file, None where there is none that reads."""
        try:
            return json.loads(self.texts.get(name, "null"))
        except ValueError:
            return None

    def table(self, name: str, *keys: str) -> dict[str, Any]:
        """The object under ``keys`` of a JSON file, empty where there is none."""
        content = self.json(name)
        for key in keys:
            content = content.get(key) if isinstance(content, dict) else None
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class Model:
    """A folder of the repository."""

    name: str
    configs: Mapping[str, ConfigFile]
    broken: frozenset[str]
    """Names of configurations that do not read; they have been reported."""
    versions: Mapping[int, Version]
    warmup_files: frozenset[str]

    def config_for(self, view: str) -> ConfigFile | None:
        """The configuration that ``--model-config-name=view`` chooses, None where it does not read or there is none."""
        for name in (view, DEFAULT):
            if name in self.configs or name in self.broken:
                return self.configs.get(name)
        return None

    def served(self, config: Any) -> tuple[Version, ...]:
        """The versions that Triton loads, newest first; without a policy the newest alone."""
        numbers = sorted(self.versions, reverse=True)
        policy = config.version_policy
        chosen = {
            "all": numbers,
            "latest": numbers[: policy.latest.num_versions],
            "specific": [number for number in numbers if number in policy.specific.versions],
            None: numbers[:1],
        }
        return tuple(self.versions[number] for number in chosen[policy.WhichOneof("policy_choice")])


@dataclass(frozen=True)
class Step:
    """A step of an ensemble, with the model it names as far as there is one."""

    index: int
    message: Any
    model: Model | None
    file: ConfigFile | None

    @property
    def field(self) -> str:
        """Where it stands in the ensemble's configuration."""
        return f"ensemble_scheduling.step[{self.index}]"

    @property
    def version(self) -> Version | None:
        """The version folder that the step runs, None where that cannot be told."""
        if self.model is None or self.file is None:
            return None
        served = self.model.served(self.file.config)
        wanted = self.message.model_version
        return next((version for version in served if wanted in (-1, version.number)), None)


@dataclass(frozen=True)
class View:
    """The repository as one ``--model-config-name`` shows it."""

    name: str
    models: Mapping[str, Model]
    configs: Mapping[str, ConfigFile]
    """By model; those whose configuration reads."""

    def ensembles(self) -> Iterator[tuple[str, ConfigFile, list[Step]]]:
        """Each ensemble's name, configuration and steps."""
        for name, file in self.configs.items():
            if steps := list(file.config.ensemble_scheduling.step):
                yield name, file, [self._step(index, step) for index, step in enumerate(steps)]

    def _step(self, index: int, step: Any) -> Step:
        return Step(index, step, self.models.get(step.model_name), self.configs.get(step.model_name))


@dataclass(frozen=True)
class Repository:
    """Every model by name, and a way to ask for the size of any file of the repository, None where there is none."""

    models: Mapping[str, Model]
    size_of: Callable[[str], int | None]

    def views(self) -> list[View]:
        """The default view, and one for each name of an alternative configuration."""
        names = {name for model in self.models.values() for name in (*model.configs, *model.broken)}
        return [self._view(name) for name in sorted(names | {DEFAULT})]

    def _view(self, name: str) -> View:
        chosen = {model.name: model.config_for(name) for model in self.models.values()}
        return View(name, self.models, {model: file for model, file in chosen.items() if file is not None})
