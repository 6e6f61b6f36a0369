"""Fail an image's build where TensorRT's Python bindings are not of the version of the image's library.

A plan loads in the TensorRT that built it. The bindings come from PyPI, the library with the image; were they of two
versions, this would show when a plan is built, or worse, when it is loaded.

``python3 deploy/check_tensorrt.py 11.2.1.2``
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Mapping


def problem(wanted: str, library: int | None, environment: Mapping[str, str]) -> str | None:
    """Why bindings of version ``wanted`` do not fit; ``library`` is what ``getInferLibVersion`` says, None without one."""
    major, minor, patch = (int(part) for part in wanted.split(".")[:3])
    if library is None:
        return f"this image has no libnvinfer.so.{major}: it has no TensorRT {major}"
    if library == major * 10_000 + minor * 100 + patch:
        return None
    found = f"{library // 10_000}.{library // 100 % 100}.{library % 100}"
    # NVIDIA's images say the whole version, some with a suffix: 11.2.1.2+cuda13.4
    there = environment.get("TRT_VERSION", f"{found}.BUILD").partition("+")[0]
    return f"this image has TensorRT {found}, the bindings are {wanted}; build with --build-arg TENSORRT_VERSION={there}"


def library_version(major: str) -> int | None:
    """What the library on the loader's path says of itself."""
    try:
        return int(ctypes.CDLL(f"libnvinfer.so.{major}").getInferLibVersion())
    except OSError:
        return None


def main() -> None:
    """Exit code 1 with one line where they do not fit, or where the bindings cannot be imported."""
    (wanted,) = sys.argv[1:]
    if found := problem(wanted, library_version(wanted.partition(".")[0]), os.environ):
        sys.exit(f"error {found}")
    try:
        importlib.import_module("tensorrt_bindings")  # loads the plugins and the ONNX parser too
    except ImportError as error:
        sys.exit(f"error TensorRT's bindings do not load in this image: {error}")


if __name__ == "__main__":
    main()
