"""``configs/<name>.pbtxt`` beside ``config.pbtxt``: one model, whichever is chosen."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith_build.lint.check_tensors import dtype_of, is_whole
from tritonsmith_build.lint.contents import DEFAULT, ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found

_FIX = "make them equal, so that clients and ensembles need not know which is served"


def alternatives(model: Model) -> Iterator[Finding]:
    """Names, types and shapes are the same, and it takes as many rows; how it batches, raggedness and backend may differ."""
    main = model.configs.get(DEFAULT)
    for name, other in model.configs.items():
        if main is not None and name != DEFAULT:
            yield from _differences(main, other)


def _differences(main: ConfigFile, other: ConfigFile) -> Iterator[Finding]:
    sizes = other.config.max_batch_size, main.config.max_batch_size
    if sizes[0] < sizes[1] or bool(sizes[0]) != bool(sizes[1]):
        message = f"max_batch_size is {sizes[0]}, in {main.path} it is {sizes[1]}"
        yield found("alternative-batch-size-differs", other.path, "max_batch_size", message, _FIX)
    for kind in ("input", "output"):
        ours, theirs = list(getattr(other.config, kind)), list(getattr(main.config, kind))
        by_name = {tensor.name: tensor for tensor in theirs}
        if not ours or not theirs:
            continue
        for index, tensor in enumerate(ours):
            same = by_name.get(tensor.name)
            if same is None:
                message = f"{main.path} has no {kind} {tensor.name}; it has {', '.join(by_name)}"
                yield found("alternative-interface-differs", other.path, f"{kind}[{index}].name", message, _FIX)
            elif is_whole(tensor) and is_whole(same) and _written(tensor) != _written(same):
                message = f"{tensor.name} is {_written(tensor)}, in {main.path} it is {_written(same)}"
                yield found("alternative-interface-differs", other.path, f"{kind}[{index}]", message, _FIX)
        if len(ours) < len(theirs):
            missing = by_name.keys() - {tensor.name for tensor in ours}
            message = f"{', '.join(sorted(missing))} of {main.path} is not here"
            yield found("alternative-interface-differs", other.path, kind, message, _FIX)


def _written(tensor: object) -> str:
    return f"{dtype_of(tensor)} {list(getattr(tensor, 'dims', ()))}"
