"""One question put to a pipeline's steps, one after the other as its ensemble does, and what each of them answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.runtimes import PLAIN, Run, choices_in, first_available, opened

from tritonsmith_build.errors import SmithError
from tritonsmith_build.pbtxt import config_from_text
from tritonsmith_build.render import Names, rendered
from tritonsmith_build.repository import VERSION
from tritonsmith_build.server.canary import Canary, canary_file
from tritonsmith_build.server.health import question
from tritonsmith_build.server.serve import TARGETS as CONFIGURATIONS
from tritonsmith_build.targets import TargetName
from tritonsmith_build.work import Work

_READ = 0.05
"""How far what is read of a picture or a recording may be off: other versions of a decoder round otherwise."""
_SPREAD, _SHARE = 4.0, 0.1
"""How far an engine may be off: so many times what its precision costs in this answer, and this part of its greatest value.
Another machine rounds otherwise; a broken engine is further off."""


def canaries(work: Work, target: TargetName, fp32: Path, engine: Path, choices: Path | None, folder: Path) -> None:
    """Write ``STEP/canary.TARGET.json`` below ``folder`` for each step of the pipeline on a target.

    ``engine`` is the graph that is served and ``choices`` the folder that says by which runtime, ONNX Runtime where there is
    none; the step after it is given what ``fp32`` answers, so that its answer is the same whatever the precision.
    """
    names, texts = Names.of(work.spec), rendered(work.spec, work.facts)
    steps = _Steps(work, texts, target)
    tensors = steps.question(work.spec.name)
    read = steps.answer(names.first, work.modality.step, tensors, folder)
    _write(folder, names.first, target, Canary.of(tensors, read, _READ))

    wanted = {name: read[name] for name in steps.inputs(names.engine) if name in read}
    exact, served = opened(PLAIN, fp32)(wanted), _run(engine, choices)(wanted)
    output = work.task.engine_output
    tolerance = float(_SPREAD * np.abs(served - exact).max() + _SHARE * np.abs(exact).max())
    _write(folder, names.engine, target, Canary.of(wanted, {output: served}, tolerance))

    known = {**tensors, **read, output: exact}
    given = {name: known[name] for name in steps.inputs(names.answer) if name in known}
    _write(folder, names.answer, target, Canary.of(given, steps.answer(names.answer, work.task.step, given, folder)))


class _Steps:
    """The Python steps of a pipeline, run here with what their repository would give them."""

    def __init__(self, work: Work, texts: Mapping[str, str], target: TargetName) -> None:
        self._work, self._texts, self._target = work, texts, target

    def _config(self, model: str) -> Any:
        """What Triton takes on the target."""
        own = f"{model}/configs/{CONFIGURATIONS[self._target]}.pbtxt"
        path = own if own in self._texts else f"{model}/config.pbtxt"
        return config_from_text(self._texts[path], where=path)

    def inputs(self, model: str) -> Sequence[str]:
        return [tensor.name for tensor in self._config(model).input]

    def question(self, ensemble: str) -> Arrays:
        config = self._config(ensemble)
        asked = {
            "input": [{"name": tensor.name, "optional": tensor.optional} for tensor in config.input],
            "parameters": {name: {"string_value": value.string_value} for name, value in config.parameters.items()},
        }
        return {
            tensor.name: np.array(tensor.texts, np.object_).reshape(tensor.shape)
            for tensor in question(asked, unique=b"tritonsmith")
        }

    def answer(self, model: str, step: str, inputs: Arrays, scratch: Path) -> Arrays:
        """Raises SmithError where the step refuses the question."""
        folder = scratch / model / str(VERSION)
        folder.mkdir(parents=True)
        (folder / "step.json").write_text(self._texts[f"{model}/{VERSION}/step.json"], encoding="utf-8")
        for name in self._work.modality.files:
            (folder / name).symlink_to((self._work.folder / name).absolute())
        parameters = {name: value.string_value for name, value in self._config(model).parameters.items()}
        made = import_module(f"tritonsmith_steps.{step}").STEP.load(folder, parameters, lambda name, amount: None)
        (answer,) = made([inputs])
        shutil.rmtree(folder)
        if isinstance(answer, ValueError):
            raise SmithError(f"the {step} step refuses the question that is to show whether it runs: {answer}", where=model)
        found: Arrays = answer
        return found


def _run(engine: Path, choices: Path | None) -> Run:
    return first_available(choices_in(choices) if choices else [PLAIN], engine)[1]


def _write(folder: Path, model: str, target: TargetName, canary: Canary) -> None:
    (folder / model).mkdir(exist_ok=True)
    (folder / model / canary_file(target)).write_text(canary.text(), encoding="utf-8")
