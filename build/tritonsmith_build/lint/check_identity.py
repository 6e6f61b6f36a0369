"""Which model a configuration is of, and which backend runs it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from tritonsmith_build.lint.backends import BACKENDS, PLATFORMS, backend_of, is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


def identity(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """Name, backend, platform and max_batch_size by themselves."""
    config = file.config
    if config.name and config.name != model.name:
        message = f"the name is {config.name}, the folder's is {model.name}; Triton wants them equal"
        yield found("name-differs", file.path, "name", message, f'write name: "{model.name}", or rename the folder')
    if config.max_batch_size < 0:
        message = f"max_batch_size {config.max_batch_size} is below 0"
        yield found("batch-size-negative", file.path, "max_batch_size", message, "write 0 for a model that takes no batches")
    if not is_ensemble(config):
        yield from _backend(model, file)


def _backend(model: Model, file: ConfigFile) -> Iterator[Finding]:
    said, platform = file.config.backend, file.config.platform
    known = backend_of(file.config, model.versions.values())
    if said in BACKENDS:
        expected = BACKENDS[said].platform
        if platform and expected and platform != expected:
            message = f"platform {platform} does not belong to backend {said}"
            yield found("platform-contradicts-backend", file.path, "platform", message, "delete the platform")
    elif said:
        return  # a backend of one's own may take any platform
    elif platform in PLATFORMS:
        if known not in BACKENDS:
            return  # TensorFlow's, where the platform says which kind of file it is
        message = f"{platform} is a platform name of old; the backend is called {known}"
        yield found("legacy-platform", file.path, "platform", message, f'write backend: "{known}" instead')
    elif platform and not known:
        close = difflib.get_close_matches(platform, [*BACKENDS, *PLATFORMS], n=1)
        meant = PLATFORMS.get(close[0], close[0]) if close else "…"
        message = f"Triton has no platform {platform}, and no backend is given"
        yield found("platform-for-backend", file.path, "platform", message, f'write backend: "{meant}" instead')
    elif known:
        message = f"no backend is given; Triton takes {known} because of the model's file name"
        yield found("backend-guessed", file.path, "backend", message, f'write backend: "{known}"')
    else:
        message = "no backend is given, and no file in the version folders has a name that tells it"
        yield found("backend-missing", file.path, "backend", message, 'write backend: "python", "onnxruntime", "tensorrt" …')
