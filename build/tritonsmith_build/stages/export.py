"""ONNX from a PyTorch model, with a dynamic batch and whatever else differs from request to request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modality import Axis
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.graphs import EngineGraph

OPSET = 20
_PROTOBUF_LIMIT = 2**31 - 2**20
_TYPES = {"TYPE_INT32": torch.int32, "TYPE_FP32": torch.float32}

Axes = Mapping[str, tuple[Axis | int, ...]]


def onnx_from_graph(graph: EngineGraph, axes: Axes, dtypes: Mapping[str, str], output: str, file: Path) -> None:
    """Write ``graph`` as ONNX to ``file``: its inputs are ``axes`` after the batch, of Triton's ``dtypes``; FP32 ``output``."""
    size = sum(p.numel() * p.element_size() for p in graph.parameters())
    if size > _PROTOBUF_LIMIT:
        raise SmithError(
            f"{size / 2**30:.1f} GiB of weights", where=file.name, fix="an ONNX file holds 2 GiB; use a smaller model"
        )
    sizes = {name: [axis.example if isinstance(axis, Axis) else axis for axis in row] for name, row in axes.items()}
    with quiet(), torch.no_grad():
        torch.onnx.export(
            graph,
            (),
            file,
            kwargs={name: torch.ones((2, *row), dtype=_TYPES[dtypes[name]]) for name, row in sizes.items()},
            input_names=list(axes),
            output_names=[output],
            dynamic_shapes=_dynamic(axes),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    strip_notes(file)


def _dynamic(axes: Axes) -> dict[str, dict[int, Any]]:
    """Which dimensions of each input have no fixed size; an axis is the same in all of them."""
    batch, made = torch.export.Dim("batch"), {}
    for row in axes.values():
        for axis in row:
            if isinstance(axis, Axis) and axis.name not in made:
                made[axis.name] = _dim(axis)
    return {
        name: {0: batch, **{at: made[axis.name] for at, axis in enumerate(row, start=1) if isinstance(axis, Axis)}}
        for name, row in axes.items()
    }


def _dim(axis: Axis) -> Any:
    if axis.multiple == 1:
        return torch.export.Dim(axis.name, min=axis.least if axis.least > 1 else None, max=axis.most)
    least, most = max(1, axis.least // axis.multiple), axis.most // axis.multiple
    return axis.multiple * torch.export.Dim(f"{axis.name}_pieces", min=least, max=most)


def strip_notes(file: Path) -> None:
    """Take out the exporter's notes: they hold paths of the machine that built the file, and more text than graph."""
    model = onnx.load(file)
    graph = model.graph
    for holder in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del holder.metadata_props[:]
    onnx.save(model, file)
