"""Warmup: requests that Triton makes up while it loads a model, and that fail the load where they fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith_build.lint.backends import is_ensemble
from tritonsmith_build.lint.check_tensors import dtype_of, is_whole
from tritonsmith_build.lint.contents import ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


def warmups(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """Each sends every input, in a type, shape and number of rows that the model takes."""
    if is_ensemble(file.config):
        return
    for index, warmup in enumerate(file.config.model_warmup):
        field = f"model_warmup[{index}]"
        yield from _rows(file, field, warmup)
        if file.config.input:
            yield from _names(file, field, warmup)
        for key in sorted(warmup.inputs):
            yield from _data(model, file.path, f"{field}.inputs[{key}]", warmup.inputs[key])


def _rows(file: ConfigFile, field: str, warmup: Any) -> Iterator[Finding]:
    most = max(file.config.max_batch_size, 1)
    if warmup.batch_size == 0:
        message = f"warmup {warmup.name!r} has no batch_size, so Triton skips it"
        yield found("warmup-skipped", file.path, f"{field}.batch_size", message, "write batch_size: 1 or more")
    elif warmup.batch_size > most:
        message = f"warmup {warmup.name!r} sends {warmup.batch_size} rows, the model takes {most}"
        yield found("warmup-batch-size", file.path, f"{field}.batch_size", message, f"write batch_size: {most} at most")


def _names(file: ConfigFile, field: str, warmup: Any) -> Iterator[Finding]:
    inputs = {tensor.name: tensor for tensor in file.config.input}
    controls = {control.name for control in file.config.sequence_batching.control_input}
    for key in sorted(warmup.inputs):
        if key not in inputs and key not in controls:
            message = f"the model has no input {key}; it has {', '.join(inputs)}"
            yield found("warmup-unknown-input", file.path, f"{field}.inputs[{key}]", message, "correct the key, or delete it")
    if missing := [name for name, tensor in inputs.items() if name not in warmup.inputs and not tensor.optional]:
        message = f"warmup {warmup.name!r} sends nothing for {', '.join(missing)}, so the model does not load"
        yield found("warmup-missing-input", file.path, f"{field}.inputs", message, f"add inputs for {', '.join(missing)}")
    for key in sorted(inputs.keys() & warmup.inputs.keys()):
        if is_whole(inputs[key]):
            yield from _fits(file.path, f"{field}.inputs[{key}]", warmup.inputs[key], inputs[key])


def _fits(path: str, field: str, sent: Any, tensor: Any) -> Iterator[Finding]:
    if sent.data_type != tensor.data_type:
        message = f"warmup sends {dtype_of(sent)}, the input is {dtype_of(tensor)}"
        fix = f"write data_type: {dtype_of(tensor)}"
        yield found("warmup-dtype-differs", path, f"{field}.data_type", message, fix)
    same = len(sent.dims) == len(tensor.dims) and all(
        here > 0 and there in (-1, here) for here, there in zip(sent.dims, tensor.dims, strict=True)
    )
    if not same:
        message = f"warmup sends {list(sent.dims)}, the input is {list(tensor.dims)}; the batch dimension stands in neither"
        fix = "write the size of one row, a number for every -1"
        yield found("warmup-dims-differ", path, f"{field}.dims", message, fix)


def _data(model: Model, path: str, field: str, sent: Any) -> Iterator[Finding]:
    kind = sent.WhichOneof("input_data_type")
    if kind is None:
        fix = "add zero_data: true, random_data: true or input_data_file"
        yield found("warmup-no-data", path, field, "it does not say which data to send", fix)
    elif kind == "input_data_file" and sent.input_data_file not in model.warmup_files:
        message = f"{model.name}/warmup/{sent.input_data_file} is not there"
        fix = f"put the file into the folder {model.name}/warmup"
        yield found("warmup-file-missing", path, f"{field}.input_data_file", message, fix)
