"""What is done with a graph that is in INT8 or in 16 bits by itself: served as it is, and made nothing else of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.targets import Target
from tritonsmith_build.work import figures_in

FILE = "given.json"
"""Beside an engine's graph that was given: ``weights``, and ``already`` where it has less than FP32 by itself."""


def said_of_given(spec: PipelineSpec, target: Target, folder: Path) -> dict[str, Any]:
    """What the manifest says of a graph in ``folder`` that was given; nothing of one that was exported.

    Raises SmithError where spec or target want another precision made of one that has less than FP32.
    """
    if not (folder / FILE).is_file():
        return {}
    found: dict[str, Any] = figures_in(folder / FILE)
    if "already" in found:
        what, earlier = f"the graph is {found['already']} already", "give the graph before that was done"
        if spec.engine.precision != "fp32":
            raise SmithError(what, where=f"{spec.file}: engine.precision", fix=f"leave precision out, or {earlier}")
        if target.plan:  # what TensorRT takes of Q/DQ is little of what is made for other runtimes
            raise SmithError(what, where=f"{spec.file}: source.onnx", fix=f"TensorRT makes its own of FP32: {earlier}")
    return found
