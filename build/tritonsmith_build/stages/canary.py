"""One question put to a pipeline's steps, one after the other as its ensemble does, and what each of them answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.runtimes import PLAIN, Run, choices_in, first_available, opened

from tritonsmith_build.errors import SmithError
from tritonsmith_build.render import Names
from tritonsmith_build.server.canary import Canary, canary_file
from tritonsmith_build.server.health import question
from tritonsmith_build.stages.local_steps import LocalSteps
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
    names, steps = Names.of(work.spec), LocalSteps(work, target)
    tensors = _question(steps, work.spec.name)
    read = _answer(steps, names.first, work.modality.step, tensors)
    _write(folder, names.first, target, Canary.of(tensors, read, _READ))

    wanted = {name: read[name] for name in steps.inputs(names.engine) if name in read}
    exact, served = opened(PLAIN, fp32)(wanted), _run(engine, choices)(wanted)
    output = work.task.engine_output
    tolerance = float(_SPREAD * np.abs(served - exact).max() + _SHARE * np.abs(exact).max())
    _write(folder, names.engine, target, Canary.of(wanted, {output: served}, tolerance))

    known = {**tensors, **read, output: exact}
    given = {name: known[name] for name in steps.inputs(names.answer) if name in known}
    _write(folder, names.answer, target, Canary.of(given, _answer(steps, names.answer, work.task.step, given)))


def _question(steps: LocalSteps, ensemble: str) -> Arrays:
    config = steps.config(ensemble)
    asked = {
        "input": [{"name": tensor.name, "optional": tensor.optional} for tensor in config.input],
        "parameters": {name: {"string_value": value.string_value} for name, value in config.parameters.items()},
    }
    return {
        tensor.name: np.array(tensor.texts, np.object_).reshape(tensor.shape)
        for tensor in question(asked, unique=b"tritonsmith")
    }


def _answer(steps: LocalSteps, model: str, step: str, inputs: Arrays) -> Arrays:
    (answer,) = steps.loaded(model, step)([inputs])
    if isinstance(answer, ValueError):
        raise SmithError(f"the {step} step refuses the question that is to show whether it runs: {answer}", where=model)
    found: Arrays = answer
    return found


def _run(engine: Path, choices: Path | None) -> Run:
    return first_available(choices_in(choices) if choices else [PLAIN], engine)[1]


def _write(folder: Path, model: str, target: TargetName, canary: Canary) -> None:
    (folder / model).mkdir(exist_ok=True)
    (folder / model / canary_file(target)).write_text(canary.text(), encoding="utf-8")
