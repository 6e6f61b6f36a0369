"""What two versions of a pipeline must have in common: callers, and steps loaded beside each other, share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tritonclient.grpc import model_config_pb2

from tritonsmith_build.errors import SmithError
from tritonsmith_build.pbtxt import config_from_text


def check_interface(pipeline: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Raise SmithError for the first difference; configurations by path, callers' own model first."""
    if difference := next(_differences(pipeline, old, new), None):
        fix = "deploy it under another name: callers who know the old one would not understand it"
        raise SmithError(f"this is no upgrade: {difference}", where=pipeline, fix=fix)


def _differences(pipeline: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    models = [{path.partition("/")[0] for path in configs} for configs in (old, new)]
    if models[0] != models[1]:
        yield f"it consists of {', '.join(sorted(models[1]))}, and was {', '.join(sorted(models[0]))}"
        return
    for path in sorted(old.keys() & new.keys(), key=lambda path: (not path.startswith(f"{pipeline}/"), path)):
        before, after = (config_from_text(configs[path], where=path) for configs in (old, new))
        for side in ("input", "output"):
            said = [_described(getattr(config, side)) for config in (before, after)]
            if said[0] != said[1]:
                yield f"{path}: the {side}s are {', '.join(said[1])}, and were {', '.join(said[0])}"
        if before.max_batch_size != after.max_batch_size:
            yield f"{path}: max_batch_size is {after.max_batch_size}, and was {before.max_batch_size}"


def _described(tensors: Any) -> list[str]:
    kinds = model_config_pb2.DataType
    return sorted(
        f"{tensor.name} {kinds.Name(tensor.data_type).removeprefix('TYPE_')}{list(tensor.dims)}"
        + (" (optional)" if getattr(tensor, "optional", False) else "")
        for tensor in tensors
    )
