"""Types and shapes of the tensors between an ensemble's steps.

The comparison is Triton's ValidateTensorConsistency: a -1 fits any size, and a model without batches may take the
batch dimension as its first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tritonsmith_build.lint.check_tensors import dtype_of, is_whole
from tritonsmith_build.lint.contents import ConfigFile, Step, View
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


@dataclass(frozen=True)
class _End:
    """A tensor as one model has it."""

    model: str
    tensor: str
    dtype: str
    dims: tuple[int, ...]
    batched: bool

    @property
    def full(self) -> tuple[int, ...]:
        return (-1, *self.dims) if self.batched else self.dims


def types(view: View) -> Iterator[Finding]:
    """What a tensor's giver says of it is what its takers say."""
    for name, file, steps in view.ensembles():
        givers = {tensor.name: _end(name, file, tensor) for tensor in file.config.input if is_whole(tensor)}
        for step in steps:
            for _, tensor, end in _ends(step, "output"):
                givers.setdefault(tensor, end)
        for field, tensor, taker in _takers(name, file, steps):
            if tensor in givers:
                yield from _compared(file.path, field, tensor, givers[tensor], taker)


def _takers(ensemble: str, file: ConfigFile, steps: Iterable[Step]) -> Iterator[tuple[str, str, _End]]:
    for step in steps:
        for key, name, end in _ends(step, "input"):
            yield f"{step.field}.input_map[{key}]", name, end
    for index, tensor in enumerate(file.config.output):
        if is_whole(tensor):
            yield f"output[{index}]", tensor.name, _end(ensemble, file, tensor)


def _ends(step: Step, kind: str) -> Iterator[tuple[str, str, _End]]:
    """The step's key, the ensemble's name and the step's view of each tensor it takes or gives."""
    if step.file is None:
        return
    tensors = {tensor.name: tensor for tensor in getattr(step.file.config, kind)}
    for key, name in sorted(getattr(step.message, f"{kind}_map").items()):
        if key in tensors and is_whole(tensors[key]):
            yield key, name, _end(step.message.model_name, step.file, tensors[key], of_step=True)


def _end(model: str, file: ConfigFile, tensor: Any, *, of_step: bool = False) -> _End:
    dims: Sequence[int] = tensor.reshape.shape if tensor.HasField("reshape") and not of_step else tensor.dims
    return _End(model, tensor.name, dtype_of(tensor), tuple(dims), file.config.max_batch_size > 0)


def _compared(path: str, field: str, name: str, giver: _End, taker: _End) -> Iterator[Finding]:
    if giver.dtype != taker.dtype:
        message = f"tensor {name} is {giver.dtype} in {giver.model} and {taker.dtype} in {taker.model}"
        fix = f"give {giver.model}'s {giver.tensor} and {taker.model}'s {taker.tensor} one data type"
        yield found("tensor-dtype-differs", path, field, message, fix)
    if not (_fits(giver.dims, taker.dims) or _fits(giver.full, taker.full)):
        message = (
            f"tensor {name} is {list(giver.full)} in {giver.model} and {list(taker.full)} in {taker.model}, batch included"
        )
        fix = f"give {giver.model}'s {giver.tensor} and {taker.model}'s {taker.tensor} one shape; -1 fits any size"
        yield found("tensor-dims-differ", path, field, message, fix)


def _fits(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))
