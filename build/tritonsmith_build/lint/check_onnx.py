"""A configuration against the ONNX graph that it fronts.

As ONNX Runtime's backend compares them when it loads a model (``CompareDimsSupported`` in
https://github.com/triton-inference-server/onnxruntime_backend/blob/main/src/onnxruntime_utils.cc).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tritonsmith_build.lint.backends import backend_of, onnx_file
from tritonsmith_build.lint.check_tensors import dtype_of, is_whole
from tritonsmith_build.lint.contents import ConfigFile, Model, OnnxGraph, OnnxTensor, Version
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


@dataclass(frozen=True)
class _Pair:
    """A configuration and its graph."""

    file: ConfigFile
    graph: OnnxGraph
    onnx: str
    """The ONNX file's path."""
    backend: str

    @property
    def batched(self) -> bool:
        return bool(self.file.config.max_batch_size > 0)


def onnx_graphs(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """Names, types and shapes are the graph's, in every version that is served."""
    backend = backend_of(file.config, model.versions.values())
    name = onnx_file(file.config, backend)
    for version in model.served(file.config) if name else ():
        path = f"{version.path}/{name}"
        graph = version.graphs.get(str(name))
        if isinstance(graph, str):
            yield found("onnx-unreadable", path, "", graph, "build or fetch the file again")
        elif graph is not None:
            yield from _weights(version, path, graph)
            yield from _compared(_Pair(file, graph, path, backend))


def _weights(version: Version, path: str, graph: OnnxGraph) -> Iterator[Finding]:
    for name in graph.data_files:
        if not {name, f"{path.removeprefix(f'{version.path}/')}/{name}"} & version.files.keys():
            message = f"its weights lie in {name}, which is not in {version.path}"
            yield found("onnx-data-missing", path, "graph.initializer", message, f"put {name} beside it")


def _compared(pair: _Pair) -> Iterator[Finding]:
    fixed: list[str] = []
    for kind, theirs in (("input", pair.graph.inputs), ("output", pair.graph.outputs)):
        ours = list(getattr(pair.file.config, kind))
        if not ours:
            continue
        by_name = {tensor.name: tensor for tensor in theirs}
        yield from _names(pair, kind, [tensor.name for tensor in ours], list(by_name))
        for index, tensor in enumerate(ours):
            if tensor.name in by_name and is_whole(tensor):
                yield from _tensor(pair, f"{kind}[{index}]", tensor, by_name[tensor.name], fixed)
    if fixed:
        message = f"{pair.onnx} takes one batch size only: {', '.join(fixed)}"
        fix = "export it with a free batch dimension, or write max_batch_size: 0 and the batch into dims"
        yield found("onnx-batch-fixed", pair.file.path, "max_batch_size", message, fix)


def _names(pair: _Pair, kind: str, ours: Sequence[str], theirs: Sequence[str]) -> Iterator[Finding]:
    config = pair.file.config
    others = {name for batch in config.batch_input for name in batch.target_name}
    others |= {control.name for control in config.sequence_batching.control_input}
    others |= {state.input_name for state in config.sequence_batching.state}
    unknown = [name for name in ours if name not in theirs]
    for name in unknown:
        left = [other for other in theirs if other not in ours]
        close = difflib.get_close_matches(name, left, n=1) or left[:1]
        fix = f"did you mean {close[0]}?" if close else f"delete it; there are: {', '.join(theirs)}"
        message = f"{pair.onnx} has no {kind} {name}"
        yield found(f"onnx-{kind}-unknown", pair.file.path, f"{kind}[{ours.index(name)}].name", message, fix)
    for name in theirs:
        if unknown or name in ours or name in others:
            continue  # a wrong name is one fault, not also a missing one
        if kind == "input":
            message = f"{pair.onnx} needs an input {name}, which is not listed"
            yield found("onnx-input-missing", pair.file.path, kind, message, f"add input {name}")
        else:
            message = f"{pair.onnx} also computes {name}, which is not listed: nobody can ask for it"
            yield found("onnx-output-unlisted", pair.file.path, kind, message, "leave it out of the export if nobody needs it")


def _tensor(pair: _Pair, field: str, ours: Any, theirs: OnnxTensor, fixed: list[str]) -> Iterator[Finding]:
    if dtype_of(ours) != theirs.dtype:
        message = f"{ours.name} is {dtype_of(ours)} here and {theirs.dtype} in {pair.onnx}"
        fix = f"write data_type: {theirs.dtype}, or cast inside the graph"
        yield found("onnx-dtype-differs", pair.file.path, f"{field}.data_type", message, fix)
    ragged_input = getattr(ours, "allow_ragged_batch", False)
    if theirs.dims is None or (ragged_input and pair.backend == "onnxruntime"):
        return  # ONNX Runtime is given a ragged batch as one flat row
    dims = list(ours.reshape.shape) if ours.HasField("reshape") else list(ours.dims)
    batch, wanted = list(theirs.dims[: pair.batched]), list(theirs.dims[pair.batched :])
    rows = " after the batch dimension" if pair.batched else ""
    if len(batch) != pair.batched or len(wanted) != len(dims):
        message = f"{ours.name} has {len(dims)} dimensions here and {len(wanted)} in {pair.onnx}{rows}"
        fix = f"write dims: {wanted}" if wanted else "export it with a batch dimension, or write max_batch_size: 0"
        yield found("onnx-rank-differs", pair.file.path, f"{field}.dims", message, fix)
        return
    if batch not in ([], [-1]) and (pair.backend == "onnxruntime" or pair.file.config.max_batch_size > 1):
        fixed.append(f"{ours.name} {batch}")
    # A Python engine's output is only bounded by what it says; ONNX Runtime's backend wants it said exactly.
    may_vary = pair.backend == "python" and field.startswith("output")
    if any(there not in (-1, here) and not (may_vary and here == -1) for here, there in zip(dims, wanted, strict=True)):
        message = f"{ours.name} is {dims} here and {wanted} in {pair.onnx}{rows}"
        fix = f"write dims: {wanted}, or export it with a free dimension"
        yield found("onnx-dim-differs", pair.file.path, f"{field}.dims", message, fix)
