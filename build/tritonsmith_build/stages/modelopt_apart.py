"""ModelOpt in a process of its own: it changes ONNX Runtime's quantizer for everybody in the process it runs in."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.errors import SmithError

_REQUEST, _CALIBRATION = "request.json", "calibration.npz"


def run_apart(folder: Path, job: str, options: dict[str, Any], calibration: Sequence[Arrays] = ()) -> None:
    """Run ``job`` of ``JOBS`` with ``options``; ``folder`` is scratch. Raises SmithError with ModelOpt's last words."""
    (folder / _REQUEST).write_text(json.dumps({"job": job, "options": options}))
    named = {f"{index}:{name}": array for index, batch in enumerate(calibration) for name, array in batch.items()}
    np.savez(folder / _CALIBRATION, **named)
    command = [sys.executable, "-m", "tritonsmith_build.stages.modelopt_apart", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SmithError(
            f"ModelOpt failed: {said}", where=job, fix="try another precision, or report it with `tritonsmith doctor`"
        )


def _batches(folder: Path) -> list[Arrays]:
    made: dict[int, Arrays] = {}
    with np.load(folder / _CALIBRATION) as arrays:
        for key in arrays.files:
            index, _, name = key.partition(":")
            made.setdefault(int(index), {})[name] = arrays[key]
    return [made[index] for index in sorted(made)]


def _half(options: dict[str, Any], calibration: list[Arrays]) -> None:
    import onnx
    from modelopt.onnx.autocast import convert_to_mixed_precision

    made = convert_to_mixed_precision(
        options["source"],
        low_precision_type=options["kind"],
        keep_io_types=True,
        nodes_to_exclude=[f"^{re.escape(name)}$" for name in options["kept"]],
        data_max=math.inf,  # what is too large is among those kept: seen on real data, where ModelOpt would draw numbers
        init_max={"fp16": 65504.0, "bf16": math.inf}[options["kind"]],
    )
    # ModelOpt gives all dimensions it does not know one name, and ONNX Runtime takes those to be equal.
    del made.graph.value_info[:]
    onnx.save(made, options["target"])


def _int8(options: dict[str, Any], calibration: list[Arrays]) -> None:
    from modelopt.onnx.quantization import quantize

    from tritonsmith_build.stages.precision import Reader

    file = str(Path(options["source"]).with_name("quantized.onnx"))
    quantize(
        options["source"],
        quantize_mode="int8",
        calibration_data_reader=Reader(calibration),
        calibration_method="max",
        calibration_eps=["cpu"],
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=options["exclude"],
        high_precision_dtype="fp32",  # with "fp16" it would cast whatever overflows, too
        output_path=file,
        log_level="ERROR",
    )
    _half({**options, "source": file, "kind": "fp16"}, calibration)


JOBS = {"half": _half, "int8": _int8}


def _main(folder: Path) -> None:
    request = json.loads((folder / _REQUEST).read_text())
    JOBS[request["job"]](request["options"], _batches(folder))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
