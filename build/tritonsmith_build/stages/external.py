"""The files beside an ONNX file that hold its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto

from tritonsmith_build.errors import SmithError


def graph_alone(file: Path) -> onnx.ModelProto:
    """An ONNX file without what lies beside it. Raises SmithError where it is none."""
    try:
        model = onnx.load(file, load_external_data=False)
    except Exception as error:  # protobuf's own error is no public class
        reason = str(error).strip().partition("\n")[0]
        raise SmithError(f"cannot be read as ONNX ({reason})", where=file, fix="copy or download it again") from None
    if not model.graph.node:  # a cut file, or one that is empty, may read as a model of nothing
        raise SmithError("holds no graph", where=file, fix="copy or download it again")
    return model


def external_files(file: Path) -> list[str]:
    """Where an ONNX file says that weights lie, from its own folder. Raises SmithError for a place outside of that."""
    found = sorted({entry.value for tensor in _tensors(graph_alone(file).graph) for entry in tensor.external_data
                    if entry.key == "location"})  # fmt: skip
    if outside := [name for name in found if Path(name).is_absolute() or ".." in Path(name).parts]:
        fix = "save it again with its weights inside, or beside it"
        raise SmithError(f"keeps weights in {outside[0]}, outside of its folder", where=file, fix=fix)
    return found


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every constant of a graph, those of its branches too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for branch in (attribute.g, *attribute.graphs):
                yield from _tensors(branch)
