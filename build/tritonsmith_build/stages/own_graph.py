"""A graph that somebody else exported: what it takes and gives, whether an engine can be made of it, what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.lengths import MASK
from tritonsmith_steps.runtimes import session_from_file

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.modality import Axis
from tritonsmith_build.source import ModelSource
from tritonsmith_build.stages.external import graph_alone
from tritonsmith_build.stages.graphs import POOLINGS
from tritonsmith_build.tables import PipelineSpec, Pooling
from tritonsmith_build.tasks import TASKS

Axes = Mapping[str, tuple[Axis | int, ...]]

RANKS: Mapping[str, tuple[int, ...]] = {"logits": (2,), "token_logits": (3,), "pooled": (2, 3)}
"""By the name of an engine's output: how many dimensions a graph's output may have for it, the batch included. What is not here
is put together of several outputs, or of what a graph seldom gives."""
TAKEN: Mapping[str, tuple[str, ...]] = {
    "TYPE_INT32": ("tensor(int32)", "tensor(int64)"),
    "TYPE_FP32": ("tensor(float)", "tensor(float16)"),
}
"""By the type of an engine's inputs: what a graph's may be."""
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
_SQUASHERS = ("Softmax", "Sigmoid", "HardSigmoid")
_PASSED = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
_HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


@dataclass(frozen=True)
class OwnGraph:
    """An ONNX file, and which of its inputs and outputs an engine's are."""

    file: Path
    where: str
    """The key of the spec that names it."""
    inputs: Mapping[str, str]
    """By the name of the engine's input, the graph's."""
    types: Mapping[str, str]
    """By the same names, the graph's types as ONNX Runtime says them."""
    sizes: Mapping[str, Sequence[Any]]
    """And their dimensions."""
    output: str
    pooling: Pooling | None = None
    """What is to be made of a vector for each token: a row of ``POOLINGS``."""
    dims: tuple[int, ...] = ()
    """Of the engine's output, without the batch; -1 where it is as long as the text."""

    called = "the graph as it was given"

    @cached_property
    def _session(self) -> ort.InferenceSession:
        return session_from_file(self.file)

    def raw(self, batch: Arrays) -> NDArray[Any]:
        """What the graph itself gives for an engine's input. Raises SmithError for a batch that it cannot take."""
        kinds = {"tensor(int64)": np.int64, "tensor(float16)": np.float16}
        given = {self.inputs[name]: batch[name].astype(kinds.get(self.types[name], batch[name].dtype)) for name in self.inputs}
        try:
            answer: NDArray[Any] = self._session.run([self.output], given)[0]
        except Exception as error:  # ONNX Runtime has a class of its own for each kind of fault
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in given.items())
            reason = " ".join(str(error).split())[:300]
            fix = "export it for batches of any size, and texts set input.max_length to what it was made for"
            raise SmithError(f"the graph cannot take {shapes} ({reason})", where=self.where, fix=fix) from None
        return answer

    def answer(self, batch: Arrays) -> NDArray[np.float32]:
        """What an engine made of it must give."""
        raw = torch.from_numpy(self.raw(batch).astype(np.float32))
        pooled = POOLINGS[self.pooling](raw, torch.from_numpy(batch[MASK]).unsqueeze(-1)) if self.pooling else raw
        made: NDArray[np.float32] = pooled.numpy()
        return made


def graph_from_source(spec: PipelineSpec, source: ModelSource, facts: ModelFacts) -> OwnGraph:
    """The graph of a source that was read."""
    task = TASKS[spec.task]
    graph = own_graph(spec, source, task.modality.axes(facts), task.modality.dtypes)
    pooling = getattr(facts, "pooling", None) if task.engine_output == "pooled" else None
    return replace(graph, dims=task.output_dims(facts), pooling=pooling if pooling in POOLINGS else None)


def own_graph(spec: PipelineSpec, source: ModelSource, axes: Axes, dtypes: Mapping[str, str]) -> OwnGraph:
    """The graph that ``spec`` names, with its inputs and output found. Raises SmithError where an engine needs others."""
    assert spec.source.onnx is not None
    file, where, wanted = source.folder / spec.source.onnx, f"{spec.file}: source.onnx", TASKS[spec.task].engine_output
    if wanted not in RANKS:
        raise not_from_graph(spec)
    model = graph_alone(file)
    if any(node.op_type == "DynamicQuantizeLinear" for node in model.graph.node):
        what = "it takes scales from each batch (DynamicQuantizeLinear): a text's answer would depend on its neighbours"
        raise SmithError(what, where=where, fix="give the graph before quantization, and set engine.precision = 'int8'")
    session = _opened(file, where)
    inputs = _inputs(session.get_inputs(), axes, dtypes, where)
    output = _output(session.get_outputs(), RANKS[wanted], spec, where)
    if wanted != "pooled":
        _check_logits(model, output, where)
    names, types, sizes = ({name: getattr(value, what) for name, value in inputs.items()} for what in ("name", "type", "shape"))
    return OwnGraph(file, where, names, types, sizes, output)


def not_from_graph(spec: PipelineSpec) -> SmithError:
    """The error for a task whose engine cannot be made of a given graph."""
    served = ", ".join(name for name, task in TASKS.items() if task.engine_output in RANKS and task.modality.reads_graph)
    fix = f"give the model's weights, a folder that save_pretrained wrote. From a graph there are {served}"
    return SmithError(f"{spec.task} cannot be served from an ONNX graph", where=f"{spec.file}: source.onnx", fix=fix)


def taken(file: Path) -> set[str]:
    """The names of what a graph takes. Older files count constants among them."""
    graph = graph_alone(file).graph
    return {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}


def _opened(file: Path, where: str) -> Any:
    try:
        return session_from_file(file)
    except Exception as error:  # an opset or an operation that it does not know, a damaged graph
        reason = " ".join(str(error).split())[:300]
        fix = f"export it for ONNX Runtime {ort.__version__}, with an opset of 20 say"
        raise SmithError(f"ONNX Runtime cannot load it ({reason})", where=where, fix=fix) from None


def _inputs(values: Sequence[Any], axes: Axes, dtypes: Mapping[str, str], where: str) -> dict[str, Any]:
    """What the graph takes, by the name of the engine's input. An only one may have any name."""
    by_name = {value.name: value for value in values}
    if len(axes) == 1 == len(values):
        by_name = dict(zip(axes, values, strict=True))
    if lacking := [name for name in axes if name not in by_name]:
        what = f"it takes {', '.join(value.name for value in values)}, and no {lacking[0]}"
        raise SmithError(what, where=where, fix=f"export it with the input{'s' * (len(axes) > 1)} {' and '.join(axes)}")
    if strange := [name for name in by_name if name not in axes]:
        fix = f"export it so that it takes {', '.join(axes)} alone"
        raise SmithError(f"it takes {strange[0]}, which nothing here makes", where=where, fix=fix)
    for name, row in axes.items():
        _check_input(by_name[name], row, dtypes[name], where)
    return {name: by_name[name] for name in axes}


def _check_input(value: Any, row: Sequence[Axis | int], dtype: str, where: str) -> None:
    """That an input has the type, the dimensions and the freedom that an engine's has."""
    said = f"its input {value.name} is {value.type[7:-1]} {value.shape}"
    shown = ", ".join(["batch", *(size.name if isinstance(size, Axis) else str(size) for size in row)])
    if value.type not in TAKEN[dtype]:
        kinds = " or ".join(kind[7:-1] for kind in TAKEN[dtype])
        raise SmithError(f"{said}; {kinds} is needed", where=where, fix="export it so")
    if len(value.shape) != 1 + len(row):
        raise SmithError(f"{said}; [{shown}] is needed", where=where, fix="export it so")
    if isinstance(value.shape[0], int):
        what = f"{said}: the batch is fixed at {value.shape[0]}"
        raise SmithError(what, where=where, fix="export it with a dynamic batch")
    for size, axis in zip(value.shape[1:], row, strict=True):
        if isinstance(size, int) and size != axis:
            fix = "export it with that dimension dynamic" if isinstance(axis, Axis) else "give the size that it was made for"
            raise SmithError(f"{said}; [{shown}] is needed", where=where, fix=fix)


def _output(values: Sequence[Any], ranks: Sequence[int], spec: PipelineSpec, where: str) -> str:
    """The name of the output that ``source.output`` names, else of the only one that may be meant."""
    shown = ", ".join(f"{value.name} {value.shape}" for value in values)
    key, fitting = f"{spec.file}: source.output", [value for value in values if len(value.shape) in ranks]
    if spec.source.output:
        fitting = [value for value in values if value.name == spec.source.output]
        if not fitting:
            raise SmithError(f"the graph has no output {spec.source.output}", where=key, fix=f"it gives {shown}")
    if len(fitting) > 1:
        raise SmithError(f"the graph gives {shown}", where=key, fix="name the one that is meant")
    if not fitting or len(fitting[0].shape) not in ranks or fitting[0].type not in _FLOATS:
        what = f"the graph gives {shown}; {spec.task} needs floats of {' or '.join(map(str, ranks))} dimensions"
        raise SmithError(what, where=where, fix="export the model with the head of that task")
    return str(fitting[0].name)


def _check_logits(model: onnx.ModelProto, output: str, where: str) -> None:
    """Refuse scores: what serves applies the function that makes them of logits."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    while output in made_by and made_by[output].op_type in _PASSED:
        output = made_by[output].input[0]
    if output in made_by and made_by[output].op_type in _SQUASHERS:
        what = f"it ends with {made_by[output].op_type}: what it gives are scores, not logits"
        raise SmithError(what, where=where, fix="export the model without it")


def already(model: onnx.ModelProto) -> str | None:
    """The precision below FP32 that a graph has by itself, as a spec names it."""
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        return "int8"
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    return next((name for name, kind in _HALVES.items() if kind in kinds), None)
