"""The engine of the ``cpu`` target: ONNX Runtime, fed with all requests at hand as one padded batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from tritonsmith_steps.arrays import Arrays, Count, Result, padded, parted
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class EngineSettings:
    """The engine's inputs, each with what fills a shorter row, and its one output."""

    pad: dict[str, int]
    output: str


class OnnxEngine:
    """INT32 inputs ``[rows, length]``, lengths differing between requests, to an FP32 output ``[rows, width]``."""

    def __init__(self, session: ort.InferenceSession, settings: EngineSettings, *, count: Count) -> None:
        self._session, self._settings, self._count = session, settings, count

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> OnnxEngine:
        """From a version folder with ``step.json`` and the file that ``parameters["artefact"]`` names."""
        if "artefact" not in parameters:
            raise ValueError("the configuration names no artefact; add the parameter, or run: tritonsmith render")
        return cls(session_from_file(folder / parameters["artefact"]), settings_from(folder, EngineSettings), count=count)

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        batch = {name: padded(requests, name, fill) for name, fill in self._settings.pad.items()}
        name = next(iter(batch))
        self._count("padding", int(batch[name].size - sum(request[name].size for request in requests)))
        (output,) = self._session.run([self._settings.output], batch)
        return [*parted({self._settings.output: output}, [len(request[name]) for request in requests])]


def session_from_file(file: Path, *, threads: int | None = None) -> ort.InferenceSession:
    """Open an ONNX file on the CPU with as many threads as this process may use cores.

    Threads do not spin while they wait: tokenizing, the server and other engines want the same cores.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
