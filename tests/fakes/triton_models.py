"""Triton's model control over a real folder, as far as versions and ensembles go: what answers whom, what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tritonsmith_build.deployment.control import ControlError
from tritonsmith_build.pbtxt import config_from_text

SAYS = "step.json"


@lru_cache
def _config(text: str) -> Any:
    return config_from_text(text, where="config.pbtxt")


@dataclass(frozen=True)
class Loaded:
    """One version of a model: an ensemble's steps, or what a step says, read when it was loaded."""

    steps: tuple[tuple[str, int], ...]
    says: str
    remembers: bool


@dataclass
class FakeTriton:
    """Serves ``pipeline`` of ``folder`` from when it is made."""

    folder: Path
    pipeline: str
    models: dict[str, dict[int, Loaded]] = field(default_factory=dict)
    remembered: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.load(self.pipeline)

    def load(self, model: str) -> None:
        file = self.folder / model / "config.pbtxt"
        config = _config(file.read_text())
        there = sorted(int(path.name) for path in (self.folder / model).iterdir() if path.name.isdecimal())
        policy = config.version_policy
        assert policy.WhichOneof("policy_choice"), f"{model} would serve only its latest version"
        versions = there if policy.HasField("all") else list(policy.specific.versions)
        found = {number: self._read(model, number, config) for number in versions}
        if not found:
            raise ControlError(f"{model} has no version")
        self.models[model] = found

    def _read(self, model: str, number: int, config: Any) -> Loaded:
        folder = self.folder / model / str(number)
        if not folder.is_dir() or (folder / "broken").exists():
            raise ControlError(f"{model} version {number} does not load")
        steps = tuple((step.model_name, step.model_version) for step in config.ensemble_scheduling.step)
        for name, pin in steps:
            if name not in self.models:
                self.load(name)
            if pin not in self.models[name]:
                raise ControlError(f"{model} names version {pin} of {name}, which is not loaded")
        says = (folder / SAYS).read_text() if (folder / SAYS).is_file() else ""
        return Loaded(steps, says, remembers=config.response_cache.enable)

    def unload(self, model: str) -> None:
        self.models.pop(model, None)

    def states(self) -> Mapping[str, Mapping[int, str]]:
        return {model: dict.fromkeys(versions, "READY") for model, versions in self.models.items()}

    def answer(self) -> tuple[int, str]:
        """What a caller gets: the version that the reply names, and what its steps say."""
        (number,) = self.models[self.pipeline]
        return number, self._answer(self.pipeline, number)

    def _answer(self, model: str, number: int) -> str:
        loaded = self.models[model][number]
        if not loaded.steps:
            return loaded.says
        said = "".join(self._answer(name, pin) for name, pin in loaded.steps)
        return self.remembered.setdefault((model, number), said) if loaded.remembers else said
