"""The engine of the ``cpu`` target, fed with all requests at hand as one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_steps.arrays import Arrays, Count, Result, padded, parted
from tritonsmith_steps.lengths import MASK
from tritonsmith_steps.runtimes import Run, choices_in, first_available
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class EngineSettings:
    """The engine's inputs, each with what fills a shorter row, and its one output."""

    pad: dict[str, int]
    output: str


class CpuEngine:
    """Inputs ``[rows, length]``, lengths differing between requests, to an FP32 output ``[rows, width]``.

    Or ``[rows, length, width]``, where the engine answers every token, or ``[rows, frames, width]``, where it answers every
    stretch of a recording; what is beyond a request's own is zero. An input of images is FP32 ``[rows, 3, height, width]``, of
    one size, and the output whatever comes of it, a row an image.
    """

    ROOM = "takes"
    NICE = 10
    """It gives way to the server and to the steps around it: they are quick, and each request needs them, to be refused too."""

    def __init__(self, run: Run, settings: EngineSettings, *, count: Count, about: str = "") -> None:
        self._run, self._settings, self._count, self.about = run, settings, count, about

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> CpuEngine:
        """From a version folder with ``step.json`` and the file that ``parameters["artefact"]`` names.

        It is run by the first of the folder's ``engines.json`` that this machine can run; ``about`` says which and why.
        """
        if "artefact" not in parameters:
            raise ValueError("the configuration names no artefact; add the parameter, or run: tritonsmith render")
        choice, run, passed_over = first_available(choices_in(folder), folder / parameters["artefact"])
        about = "; ".join([f"runs on {choice}", *(f"not on {reason}" for reason in passed_over)])
        return cls(run, settings_from(folder, EngineSettings), count=count, about=about)

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        batch = {name: padded(requests, name, fill) for name, fill in self._settings.pad.items()}
        name = next(iter(batch))
        self._count("padding", int(batch[name].size - sum(request[name].size for request in requests)))
        outputs = parted({self._settings.output: self._run(batch)}, [len(request[name]) for request in requests])
        if MASK in batch and outputs[0][self._settings.output].ndim == 3:  # a request's own length, not its neighbours'
            return [
                {key: array[:, : request[name].shape[1]] for key, array in output.items()}
                for output, request in zip(outputs, requests, strict=True)
            ]
        return [*outputs]


STEP = CpuEngine
