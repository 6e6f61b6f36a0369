"""What Triton's backends load, and how a configuration says which backend it means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tritonsmith_build.lint.contents import Version


@dataclass(frozen=True)
class Backend:
    """The file that a backend loads by default, and its name of old, when it was called a platform."""

    file: str
    platform: str = ""


# In the order in which Triton looks for their files where no backend is named (AutoCompleteBackendFields in
# https://github.com/triton-inference-server/core/blob/main/src/model_config_utils.cc).
BACKENDS = {
    "tensorrt": Backend("model.plan", "tensorrt_plan"),
    "onnxruntime": Backend("model.onnx", "onnxruntime_onnx"),
    "openvino": Backend("model.xml"),
    "pytorch": Backend("model.pt", "pytorch_libtorch"),
    "python": Backend("model.py"),
}
PLATFORMS = {
    **{backend.platform: name for name, backend in BACKENDS.items() if backend.platform},
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
}
BUILT = (".onnx", ".plan")
"""Endings of what a build makes and nobody commits."""
ARTEFACT = "artefact"
"""The parameter that names the file which a Python engine runs."""


def is_ensemble(config: Any) -> bool:
    """Whether it joins other models."""
    return bool(config.platform == "ensemble" or config.HasField("ensemble_scheduling"))


def backend_of(config: Any, versions: Iterable[Version]) -> str:
    """The backend as Triton finds it: as said, by platform, by file name, by the files there; empty for an ensemble."""
    if is_ensemble(config):
        return ""
    if said := config.backend or PLATFORMS.get(config.platform, ""):
        return str(said)
    if config.default_model_filename or config.platform:
        return next((name for name, backend in BACKENDS.items() if backend.file == config.default_model_filename), "")
    there = {file for version in versions for file in version.files}
    return next((name for name, backend in BACKENDS.items() if backend.file in there), "")


def model_files(config: Any, backend: str) -> dict[str, str]:
    """The files that the backend loads from a version folder, by the field that names each."""
    if config.cc_model_filenames:
        return {f"cc_model_filenames[{cc}]": file for cc, file in sorted(config.cc_model_filenames.items())}
    file = config.default_model_filename or (BACKENDS[backend].file if backend in BACKENDS else "")
    return {"default_model_filename": file} if file else {}


def artefacts(config: Any) -> dict[str, str]:
    """The built files that parameters name, by field; paths that leave the version folder are not ours to follow."""
    named = {key: parameter.string_value for key, parameter in sorted(config.parameters.items())}
    return {
        f"parameters[{key}]": file
        for key, file in named.items()
        if file and "/" not in file and (key == ARTEFACT or file.endswith(BUILT))
    }


def onnx_file(config: Any, backend: str) -> str | None:
    """The ONNX file whose graph the configuration must match: ONNX Runtime's own, or that of an engine in Python."""
    if backend == "onnxruntime":
        return model_files(config, backend).get("default_model_filename")
    file = config.parameters[ARTEFACT].string_value if backend == "python" and ARTEFACT in config.parameters else ""
    return str(file) if file.endswith(".onnx") else None
