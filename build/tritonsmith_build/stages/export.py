"""ONNX from a PyTorch model, with dynamic batch and sequence."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.graphs import EngineGraph

OPSET = 20
_PROTOBUF_LIMIT = 2**31 - 2**20


def onnx_from_graph(graph: EngineGraph, facts: ModelFacts, output: str, file: Path) -> None:
    """Write ``graph`` as ONNX to ``file``: INT32 inputs ``[batch, sequence]``, FP32 ``output`` ``[batch, width]``."""
    size = sum(p.numel() * p.element_size() for p in graph.parameters())
    if size > _PROTOBUF_LIMIT:
        raise SmithError(
            f"{size / 2**30:.1f} GiB of weights", where=file.name, fix="an ONNX file holds 2 GiB; use a smaller model"
        )
    example = {name: torch.ones((2, min(8, facts.max_length)), dtype=torch.int32) for name in facts.inputs}
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence", max=facts.max_length)
    with quiet(), torch.no_grad():
        torch.onnx.export(
            graph,
            (),
            file,
            kwargs=example,
            input_names=list(facts.inputs),
            output_names=[output],
            dynamic_shapes={name: {0: batch, 1: sequence} for name in facts.inputs},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _strip_notes(file)


def _strip_notes(file: Path) -> None:
    """Take out the exporter's notes: they hold paths of the machine that built the file, and more text than graph."""
    model = onnx.load(file)
    graph = model.graph
    for holder in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del holder.metadata_props[:]
    onnx.save(model, file)
