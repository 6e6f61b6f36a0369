"""Instance groups: where a model runs, how often, and with which TensorRT profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import model_config_pb2

from tritonsmith_build.lint.backends import backend_of, is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.parse_config import config_from
from tritonsmith_build.lint.rules import found

_ZERO, _WRITTEN = re.compile(r"\bcount\s*:\s*0\b"), 2**31 - 1


def instances(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """Kind, count, gpus and profiles fit each other and the backend."""
    if is_ensemble(file.config):
        return
    backend = backend_of(file.config, model.versions.values())
    # Protobuf cannot tell a written 0 from a count left out, which is fine: read once more with another number in its place.
    marked: Any = config_from(file.path, _ZERO.sub(f"count: {_WRITTEN}", file.text))
    for index, group in enumerate(marked.config.instance_group):
        field = f"instance_group[{index}]"
        kind = model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind)
        if group.gpus and kind in ("KIND_CPU", "KIND_MODEL"):
            fix = "write kind: KIND_GPU, or delete gpus"
            yield found("gpus-without-gpu", file.path, f"{field}.gpus", f"{kind} lists gpus {list(group.gpus)}", fix)
        if group.count < 0 or group.count == _WRITTEN:
            message = "a count below 1 does not switch the model off: Triton takes its default, mostly 1"
            fix = "write how many instances are wanted, or delete the count"
            yield found("instance-count", file.path, f"{field}.count", message, fix)
        if kind == "KIND_CPU" and backend == "tensorrt":
            fix = "write kind: KIND_GPU; for the CPU serve the ONNX file"
            yield found("tensorrt-without-gpu", file.path, f"{field}.kind", "TensorRT runs on GPUs only", fix)
        yield from _profiles(file.path, f"{field}.profile", group, backend)


def _profiles(path: str, field: str, group: Any, backend: str) -> Iterator[Finding]:
    if group.profile and backend != "tensorrt":
        message = f"optimization profiles are TensorRT's, the backend is {backend or 'another'}"
        yield found("profile-on-other-backend", path, field, message, "delete profile")
        return
    for index, profile in enumerate(group.profile):
        if not (profile.isascii() and profile.isdecimal()):
            message = f"profile {profile!r} is not a number"
            yield found("profile-not-a-number", path, f"{field}[{index}]", message, 'write indices as texts, ["0", "1"]')
