"""A step's shim as it runs inside Triton, with a fake of what Triton injects."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

NAMES = ("triton_python_backend_utils", "tritonsmith_steps.serve")


@dataclass(frozen=True)
class Triton:
    pb_utils: ModuleType
    serve: ModuleType


@contextmanager
def inside_triton() -> Iterator[Triton]:
    """Import both modules afresh, and let no one else see them."""
    folder = str(Path(__file__).parent / "in_triton")
    sys.path.insert(0, folder)
    try:
        yield Triton(*map(import_module, NAMES))
    finally:
        sys.path.remove(folder)
        for name in NAMES:
            sys.modules.pop(name, None)
