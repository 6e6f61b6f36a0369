"""Where the graph of an engine comes from: exported from a model's weights, or given as ONNX. A row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tritonsmith_build.modality import Modality
from tritonsmith_build.tables import PipelineSpec


@dataclass(frozen=True)
class Origin:
    """One way to come by a graph."""

    reads: Callable[[Modality], str]
    """``module:function`` below ``stages`` that reads what the model says of itself."""
    read_code: tuple[str, ...]
    """What that depends on, beside its own file."""
    original: str
    """The same for what gives the model itself, from spec, source and facts."""
    stage: str
    """What the making of the engine's FP32 graph is called."""
    write: str
    """The same, called with ``(original, axes, dtypes, output, file)``."""
    code: tuple[str, ...]
    """This package's files that the graph depends on."""
    packages: tuple[str, ...]
    """Whose versions it depends on."""
    compared: str
    """What the graph is verified against."""


EXPORTED = Origin(
    reads=lambda modality: modality.reads,
    read_code=(),
    original="model:graph_from_source",
    stage="export",
    write="export:onnx_from_graph",
    code=("stages/export.py", "stages/graphs.py", "stages/model.py"),
    packages=("torch", "onnx", "onnxscript", "transformers", "peft"),
    compared="PyTorch",
)
GIVEN = Origin(
    reads=lambda modality: modality.reads_graph or "own_read:no_graph",
    read_code=tuple(f"stages/{name}.py" for name in ("own_graph", "external", "read_texts", "read_images")),
    original="own_graph:graph_from_source",
    stage="fit",
    write="own_fit:onnx_from_own_graph",
    code=tuple(f"stages/{name}.py" for name in ("own_fit", "own_graph", "external", "graphs", "export", "proof")),
    packages=("onnx", "onnxruntime"),
    compared="the given graph",
)


def stage_function(name: str) -> Callable[..., Any]:
    """What ``module:function`` below ``stages`` names, imported only now: it may be heavy."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"tritonsmith_build.stages.{module}"), function)
    return found


def origin_of(spec: PipelineSpec) -> Origin:
    """The row of a spec's source."""
    return GIVEN if spec.source.onnx else EXPORTED
