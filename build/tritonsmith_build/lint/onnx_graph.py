"""What an ONNX file takes and gives, without its weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tritonsmith_build.lint.contents import OnnxGraph, OnnxTensor

# Where Triton's word is not TYPE_ and ONNX's.
_WORDS = {"FLOAT": "FP32", "FLOAT16": "FP16", "DOUBLE": "FP64", "BFLOAT16": "BF16"}
_LFS = b"version https://git-lfs"


def graph_from_onnx(file: Path) -> OnnxGraph | str:
    """The graph's interface, or why the file does not read. A large model may be a folder with ``model.onnx`` in it."""
    import onnx
    from google.protobuf.message import DecodeError

    if file.is_dir():
        file = file / "model.onnx"
    try:
        with file.open("rb") as opened:
            if opened.read(len(_LFS)) == _LFS:
                return "it is a Git LFS pointer, not the file"
        graph = onnx.load(file, load_external_data=False).graph
    except (OSError, DecodeError) as error:
        return f"it does not read as ONNX ({error})"
    if not graph.output:
        return "it does not read as ONNX (it has no output)"
    held = {tensor.name for tensor in graph.initializer}  # an older ONNX lists its weights among the inputs
    inputs = _tensors(tensor for tensor in graph.input if tensor.name not in held)
    return OnnxGraph(inputs, _tensors(graph.output), _data_files(graph.initializer))


def _tensors(values: Iterable[Any]) -> tuple[OnnxTensor, ...]:
    return tuple(OnnxTensor(value.name, _dtype(value.type.tensor_type), _dims(value.type.tensor_type)) for value in values)


def _dtype(tensor: Any) -> str:
    import onnx

    word = str(onnx.TensorProto.DataType.Name(tensor.elem_type))
    return f"TYPE_{_WORDS.get(word, word)}"


def _dims(tensor: Any) -> tuple[int, ...] | None:
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)


def _data_files(tensors: Iterable[Any]) -> tuple[str, ...]:
    entries = (entry for tensor in tensors for entry in tensor.external_data)
    return tuple(sorted({entry.value for entry in entries if entry.key == "location"}))
