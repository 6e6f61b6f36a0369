"""Inputs and outputs by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import model_config_pb2

from tritonsmith_build.lint.backends import is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


def dtype_of(tensor: Any) -> str:
    """The type's name, ``TYPE_INVALID`` where none is given."""
    return str(model_config_pb2.DataType.Name(tensor.data_type))


def is_whole(tensor: Any) -> bool:
    """Whether type and dims can be compared with others; what they lack has been said here."""
    return bool(tensor.data_type and tensor.dims and all(dim == -1 or dim > 0 for dim in tensor.dims))


def tensors(_: Model, file: ConfigFile) -> Iterator[Finding]:
    """Each has a name of its own, a type and dims."""
    for kind in ("input", "output"):
        listed = list(getattr(file.config, kind))
        if not listed and not is_ensemble(file.config):
            message = f"no {kind} is listed: Triton must ask the model, which --disable-auto-complete-config forbids"
            yield found("tensors-left-to-triton", file.path, kind, message, f"list each {kind} with name, data_type and dims")
        for index, tensor in enumerate(listed):
            twice = tensor.name in [other.name for other in listed[:index]]
            yield from _tensor(file.path, kind, index, tensor, twice=twice)


def _tensor(path: str, kind: str, index: int, tensor: Any, *, twice: bool) -> Iterator[Finding]:
    field = f"{kind}[{index}]"
    if not tensor.name:
        yield found("tensor-name-missing", path, f"{field}.name", f"this {kind} has no name", "write one")
    elif twice:
        message = f"{kind} {tensor.name} is listed before; Triton loads this and then fails every request"
        yield found("tensor-name-twice", path, f"{field}.name", message, "delete one, or give it a name of its own")
    if not tensor.data_type:
        message = f"{kind} {tensor.name} has no data type"
        yield found("dtype-missing", path, f"{field}.data_type", message, "write one, for example data_type: TYPE_FP32")
    if not tensor.dims:
        message = f"{kind} {tensor.name} has no dims"
        yield found("dims-missing", path, f"{field}.dims", message, "write them without the batch dimension; -1 is any size")
    for place, dim in enumerate(tensor.dims):
        if dim == 0 or dim < -1:
            message = f"{kind} {tensor.name} has a dimension of {dim}"
            fix = "write a size from 1 up, or -1 for any"
            yield found("dims-invalid", path, f"{field}.dims[{place}]", message, fix)
