"""An engine's graph made of one that somebody else exported: the interface that every target shares, put around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from tritonsmith_steps.lengths import MASK

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modality import Axis
from tritonsmith_build.reduced import FILE
from tritonsmith_build.stages.export import strip_notes
from tritonsmith_build.stages.own_graph import Axes, OwnGraph, already
from tritonsmith_build.stages.proof import weight_shares
from tritonsmith_build.tables import Pooling
from tritonsmith_build.work import write_figures

_PREFIX = "given_"
"""Before every name of the graph: none of them can then be one of the engine's."""
_PROTOBUF_LIMIT = 2**31 - 2**20
_TYPES = {"TYPE_INT32": TensorProto.INT32, "TYPE_FP32": TensorProto.FLOAT}
_TENSORS = {
    "tensor(int32)": TensorProto.INT32,
    "tensor(int64)": TensorProto.INT64,
    "tensor(float)": TensorProto.FLOAT,
    "tensor(float16)": TensorProto.FLOAT16,
}
Nodes = list[onnx.NodeProto]


def onnx_from_own_graph(graph: OwnGraph, axes: Axes, dtypes: Mapping[str, str], output: str, file: Path) -> None:
    """Write ``graph`` to ``file`` with inputs ``axes`` after the batch, of Triton's ``dtypes``, and one FP32 ``output``.

    Its weights lie inside. ``FILE`` beside it says what precision the graph has by itself.
    """
    model = onnx.load(graph.file)
    if model.ByteSize() > _PROTOBUF_LIMIT:
        what = f"{model.ByteSize() / 2**30:.1f} GiB of weights"
        raise SmithError(what, where=graph.where, fix="an ONNX file holds 2 GiB; use a smaller model")
    if graph.pooling and graph.pooling not in POOLED:
        fix = f"export one that pools by itself; {' and '.join(POOLED)} can be put behind one that does not"
        raise SmithError(f"vectors of an ONNX graph are not pooled by {graph.pooling}", where=graph.where, fix=fix)
    kind = already(model)
    made = compose.add_prefix(model, _PREFIX)
    before = [_cast(name, _PREFIX + graph.inputs[name], _TENSORS[graph.types[name]]) for name in axes]
    raw = _PREFIX + graph.output
    after = POOLED[graph.pooling](raw, made.graph) if graph.pooling else []
    nodes = [*before, *made.graph.node, *after, _cast(after[-1].output[0] if after else raw, output, TensorProto.FLOAT)]
    for part in (made.graph.node, made.graph.input, made.graph.output):
        del part[:]
    made.graph.node.extend(nodes)
    for at, node in enumerate(made.graph.node):  # what is quantized, or kept, is told by its name
        node.name = f"{node.name}_{at}" if node.name in ("", _PREFIX) else node.name
    dims = {name: _dims(row, graph.sizes[name]) for name, row in axes.items()}
    made.graph.input.extend(helper.make_tensor_value_info(name, _TYPES[dtypes[name]], row) for name, row in dims.items())
    sizes = ["batch", *("sequence" if size < 0 else size for size in graph.dims)]
    made.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, sizes))
    onnx.save(made, file)
    strip_notes(file)
    write_figures(file.parent / FILE, {**({"already": kind} if kind else {}), "weights": weight_shares(file)})


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"fit_{target}", to=kind)


def _dims(row: Sequence[Axis | int], own: Sequence[Any]) -> list[str | int | None]:
    """An input's dimensions, those that differ by the graph's own names: what is known of its tensors is said in them."""
    return [own[0], *(name if isinstance(size, Axis) else size for size, name in zip(row, own[1:], strict=True))]


def _mean(hidden: str, graph: onnx.GraphProto) -> Nodes:
    """Over the tokens that are no padding, by products, which have been the same in all opsets."""
    graph.initializer.extend([
        numpy_helper.from_array(np.array([0, 1, -1], np.int64), "fit_across"),
        numpy_helper.from_array(np.array([0, -1, 1], np.int64), "fit_down"),
        numpy_helper.from_array(np.array([0, -1], np.int64), "fit_flat"),
        numpy_helper.from_array(np.array([1.0], np.float32), "fit_one"),
    ])  # fmt: skip
    return [
        helper.make_node("Cast", [MASK], ["fit_mask"], name="fit_mask", to=TensorProto.FLOAT),
        helper.make_node("Cast", [hidden], ["fit_hidden"], name="fit_hidden", to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["fit_mask", "fit_across"], ["fit_row"], name="fit_row"),
        helper.make_node("Reshape", ["fit_mask", "fit_down"], ["fit_column"], name="fit_column"),
        helper.make_node("MatMul", ["fit_row", "fit_hidden"], ["fit_sum"], name="fit_sum"),
        helper.make_node("MatMul", ["fit_row", "fit_column"], ["fit_count"], name="fit_count"),
        helper.make_node("Max", ["fit_count", "fit_one"], ["fit_least"], name="fit_least"),
        helper.make_node("Div", ["fit_sum", "fit_least"], ["fit_mean"], name="fit_mean"),
        helper.make_node("Reshape", ["fit_mean", "fit_flat"], ["fit_vector"], name="fit_vector"),
    ]


def _first(hidden: str, graph: onnx.GraphProto) -> Nodes:
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "fit_first"))
    return [helper.make_node("Gather", [hidden, "fit_first"], ["fit_vector"], name="fit_vector", axis=1)]


POOLED: Mapping[Pooling, Callable[[str, onnx.GraphProto], Nodes]] = {"mean": _mean, "cls": _first}
"""What is put behind a vector for each token, as ``POOLINGS`` has it; the others need operations of later opsets."""
