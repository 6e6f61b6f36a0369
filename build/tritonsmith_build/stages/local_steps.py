"""The Python steps of a pipeline, run by the build with what their repository would give them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tritonsmith_build.pbtxt import config_from_text
from tritonsmith_build.render import rendered
from tritonsmith_build.repository import VERSION
from tritonsmith_build.server.serve import TARGETS as CONFIGURATIONS
from tritonsmith_build.targets import TargetName
from tritonsmith_build.work import Work


class LocalSteps:
    """Of one pipeline, as a target has them."""

    def __init__(self, work: Work, target: TargetName) -> None:
        self._work, self._target, self._texts = work, target, rendered(work.spec, work.facts)

    def config(self, model: str) -> Any:
        """What Triton takes on the target."""
        own = f"{model}/configs/{CONFIGURATIONS[self._target]}.pbtxt"
        path = own if own in self._texts else f"{model}/config.pbtxt"
        return config_from_text(self._texts[path], where=path)

    def inputs(self, model: str) -> Sequence[str]:
        """The names of the tensors that a model takes."""
        return [tensor.name for tensor in self.config(model).input]

    def loaded(self, model: str, step: str) -> Any:
        """A step, from a version folder like the one it will have."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "step.json").write_text(self._texts[f"{model}/{VERSION}/step.json"], encoding="utf-8")
            for name in self._work.modality.files:
                (folder / name).symlink_to((self._work.folder / name).absolute())
            parameters = {name: value.string_value for name, value in self.config(model).parameters.items()}
            return import_module(f"tritonsmith_steps.{step}").STEP.load(folder, parameters, lambda name, amount: None)
