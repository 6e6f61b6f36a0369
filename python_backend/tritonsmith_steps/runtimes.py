"""What runs an engine's ONNX file on a CPU, and whether this machine can.

OpenVINO and ONNX Runtime read the same file. ``bf16`` is the type that OpenVINO works in where the file says FP32: half the
memory traffic and, where the CPU has AMX or AVX-512 BF16, several times the speed.

Both get a batch in parts of like length. OpenVINO works on as many parts at once as it has groups of cores, ONNX Runtime on
one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.cores import cores
from tritonsmith_steps.lengths import by_length, in_order

FILE = "engines.json"
_OPTIONS = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16", "SNIPPETS_MODE": "DISABLE"},
}
"""OpenVINO's. Its snippets fuse attention; on a CPU with AMX they made FP32 faster, and short texts in BF16 slower, than plain
products."""
_KEPT = "1000"
"""Kernels that OpenVINO keeps, each made for one shape: about a hundred shapes of a small encoder. It would keep 5000, and its
memory grow with each new shape, by about a megabyte and a half for MiniLM in INT8."""
_TOGETHER = 4
"""Cores that work on one part: one text is soonest done by several. A choice for small encoders, tried on two cores alone."""
Run = Callable[[Arrays], NDArray[np.float32]]
"""The engine's one output for a padded batch: ``[rows, width]``, one a token ``[rows, length, width]``, or more of an image."""


@dataclass(frozen=True)
class Choice:
    """A runtime, and the type it works in where the file says FP32: ``fp32`` or ``bf16``."""

    runtime: str
    compute: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.compute}"


PLAIN = Choice("onnxruntime", "fp32")
"""What every machine can run."""


class UnavailableError(ValueError):
    """This machine cannot run a choice; the message says what it lacks."""


def choices_in(folder: Path) -> list[Choice]:
    """What a build has proved for the engine in ``folder``, the fastest first; ``PLAIN`` where it says nothing."""
    file = folder / FILE
    if not file.is_file():
        return [PLAIN]
    try:
        return [Choice(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); build the pipeline again") from error


def first_available(choices: Sequence[Choice], file: Path) -> tuple[Choice, Run, list[str]]:
    """The first choice that this machine can run, and why each before it could not.

    Raises UnavailableError with all reasons where none can.
    """
    reasons: list[str] = []
    for choice in choices:
        try:
            return choice, opened(choice, file), reasons
        except UnavailableError as error:
            reasons.append(f"{choice}: {error}")
    raise UnavailableError("; ".join(reasons) or "no engine was proved; build the pipeline again")


def opened(choice: Choice, file: Path, *, threads: int | None = None) -> Run:
    """An ONNX file ready to run with a choice, on as many threads as this process may use cores.

    Raises UnavailableError where the runtime is not installed, or the CPU has not the type.
    """
    if choice.runtime not in RUNTIMES:
        raise UnavailableError(f"no such runtime; known are {', '.join(RUNTIMES)}")
    return RUNTIMES[choice.runtime](file, choice.compute, threads or cores())


def _openvino(file: Path, compute: str, threads: int) -> Run:
    try:
        import openvino
    except ImportError:
        raise UnavailableError("OpenVINO is not installed (pip install 'tritonsmith[openvino]')") from None
    core = openvino.Core()
    if compute == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UnavailableError("this CPU has no BF16")
    streams = -(-threads // _TOGETHER)
    # Pinned threads of two such processes end up on the same cores, and each is left with half of one.
    options = {
        **{"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False},
        "CPU_RUNTIME_CACHE_CAPACITY": _KEPT,
    }
    model = core.compile_model(file, "CPU", {**options, **_OPTIONS[compute]})
    idle: SimpleQueue[Any] = SimpleQueue()
    for _ in range(streams):
        idle.put(model.create_infer_request())

    # Not by OpenVINO's own AsyncInferQueue: after one failed request it refuses all others.
    def infer(batch: Arrays) -> NDArray[np.float32]:
        request = idle.get()
        try:
            request.infer(batch, share_inputs=True)
            output: NDArray[np.float32] = request.get_output_tensor().data.copy()
            return output
        finally:
            idle.put(request)

    return _in_parts(infer, streams)


def _onnxruntime(file: Path, compute: str, threads: int) -> Run:
    if compute != PLAIN.compute:
        raise UnavailableError(f"ONNX Runtime has no {compute} on a CPU")
    session = session_from_file(file, threads=threads)

    def infer(batch: Arrays) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run(None, batch)[0]
        return output

    return _in_parts(infer, workers=1)


def _in_parts(infer: Run, workers: int) -> Run:
    """What runs a batch in parts of like length, on so many at once."""
    pool = ThreadPoolExecutor(workers)

    def run(batch: Arrays) -> NDArray[np.float32]:
        parts = by_length(batch, workers)
        under_way = [pool.submit(infer, part.batch) for part in parts]
        wait(under_way)
        return in_order([(part, one.result()) for part, one in zip(parts, under_way, strict=True)], batch)

    return run


RUNTIMES: Mapping[str, Callable[[Path, str, int], Run]] = {"openvino": _openvino, "onnxruntime": _onnxruntime}


def session_from_file(file: Path, *, threads: int | None = None, as_written: bool = False) -> Any:
    """Open an ONNX file in ONNX Runtime on the CPU with as many threads as this process may use cores.

    ``as_written`` computes quantized products as the graph spells them out, in floats: what another processor will answer.
    This one's own kernels for them may cut off sums (those of a CPU without VNNI do).

    Threads do not spin while they wait: tokenizing, the server and other engines want the same cores.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_quant_qdq", "1" if as_written else "0")
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
