"""The types of TensorRT's API, written down from its bindings, and mypy's verdict on code that uses them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from served import ROOT
from tensorrt_api import Bindings

# Repairs of what pybind11-stubgen writes. Nothing may be left as Any, against which every use is right: what is not known
# becomes ``object``, against which every use is wrong.
_REPAIRS: list[tuple[str, str]] = [
    (r"^from __future__ import annotations$", r"\g<0>\nimport builtins"),
    (r"<[\w.]+: -?\d+>", "..."),  # an enum's value as a default
    (r"\b(typing\.Any|numpy\.ndarray)\b", "object"),  # an array's type has Any in it
    (r"(?<=: )slice(?=[,)])", "slice[object, object, object]"),
    # The module has DataType's values by their short names, of which this one hides a type.
    (r"(?<![\w.])bool\b(?!: )", "builtins.bool"),
    # Any sequence of numbers is taken for dimensions, as the docstring of Dims says.
    (r"(?<=: )Dims\b(?=[,)=\s])(?=.*\) -> )", "Dims | collections.abc.Sequence[int]"),
    # What Python does through other methods, and mypy only by these.
    (r"^class Dims:$", r"\g<0>\n    def __iter__(self) -> collections.abc.Iterator[int]: ..."),
    (r"^class IHostMemory:$", r"\g<0>\n    def __buffer__(self, flags: int, /) -> memoryview: ..."),
]
_CPP_NAME = re.compile(r"\b(?:\w+::)+(\w+)(?:<[\w:]+>)?")
_BARE_PARAMETER = re.compile(r"(?<=[(\s*])(?!self\b)(\w+)(?=[,)])")
_DEFINITION = re.compile(r"^( *)def .*:$", re.MULTILINE)


def write_stubs(bindings: Bindings, folder: Path) -> None:
    """Put a package ``tensorrt`` of type stubs into ``folder``."""
    stubgen = ["-m", "pybind11_stubgen", "tensorrt_bindings", "--print-invalid-expressions-as-is"]
    bindings.python(*stubgen, "--output-dir", str(folder))
    for file in (folder / "tensorrt_bindings").rglob("*.pyi"):
        file.write_text(repaired(file.read_text()))
    (folder / "tensorrt").mkdir()
    exports = "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__ as __version__\n"
    (folder / "tensorrt" / "__init__.pyi").write_text(exports)


def repaired(stub: str) -> str:
    """A stub that mypy can read, without Any."""
    classes = set(re.findall(r"^ *class (\w+)", stub, re.MULTILINE))
    stub = _CPP_NAME.sub(lambda found: _python_name(found[1], classes), stub)
    for pattern, replacement in _REPAIRS:
        stub = re.sub(pattern, replacement, stub, flags=re.MULTILINE)
    return _DEFINITION.sub(_readable, stub)


def _python_name(cpp: str, classes: set[str]) -> str:
    # A class that C++ has not registered yet when a docstring names it: nvinfer1::IBuilder is Builder.
    return next((name for name in (cpp, cpp.removeprefix("I")) if name in classes), "object")


def _readable(definition: re.Match[str]) -> str:
    line = definition[0]
    if ") -> " not in line:  # the package's own Python functions have no annotations
        line = _BARE_PARAMETER.sub(r"\1: object", line.removesuffix(":")) + " -> object:"
    try:
        ast.parse(line.strip() + " ...")
    except SyntaxError:  # a parameter called "in" and the like
        return f"{definition[1]}def unreadable(*_: object) -> None:"
    return line


# mypy

_CONFIG = """
[mypy]
mypy_path = {path}
explicit_package_bases = true
check_untyped_defs = true
follow_imports = silent
ignore_missing_imports = true

[mypy-tensorrt.*,tensorrt_bindings.*]
ignore_missing_imports = false

# large, and not what is asked about
[mypy-torch.*,transformers.*,onnx.*,scipy.*]
follow_imports = skip
"""
_THOROUGH = ("--follow-imports=normal", "--disallow-any-explicit", "--disallow-untyped-defs")
_TAKEN_FOR_ANY = (
    "explicit-any",
    "no-untyped-def",
    "valid-type",
    "name-defined",
    "attr-defined",
    "import-not-found",
    "import-untyped",
)


class Mypy:
    """mypy with the stubs of one TensorRT, and a cache in ``scratch`` that several may share."""

    def __init__(self, stubs: Path, scratch: Path) -> None:
        self._scratch, self._config = scratch, stubs / "mypy.ini"
        roots = [stubs, *(ROOT / package for package in ("build", "client", "python_backend"))]
        self._config.write_text(_CONFIG.format(path=":".join(map(str, roots))))

    def errors_in(self, files: Sequence[Path]) -> list[str]:
        """What is wrong in ``files``, where every argument called ``trt`` counts as the module that it stands for."""
        shadows = []
        for file in files:
            shadow = self._scratch / f"{file.stem}.shadow"
            shadow.write_text(with_module(file.read_text()))
            shadows += ["--shadow-file", str(file), str(shadow)]
        ours = tuple(f"{file}:" for file in files)
        return [line for line in self._run(*shadows, *map(str, files)) if line.startswith(ours)]

    def unknown(self) -> list[str]:
        """Where the stubs themselves are wrong in a way that makes mypy take a type for Any."""
        codes = tuple(f"[{code}]" for code in _TAKEN_FOR_ANY)
        found = self._run(*_THOROUGH, "--package", "tensorrt", cache=os.devnull)
        return [line for line in found if line.endswith(codes)]

    def _run(self, *arguments: str, cache: str = "cache") -> list[str]:
        options = ["--config-file", str(self._config), "--cache-dir", cache, "--no-error-summary", "--show-absolute-path"]
        command = [sys.executable, "-m", "mypy", *options, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._scratch)
        assert ran.returncode in (0, 1), ran.stdout + ran.stderr
        return [line for line in ran.stdout.splitlines() if ": error: " in line]


def with_module(source: str) -> str:
    """``source`` with each read of a name ``trt``, which is Any, made one of the module; every place stays where it is."""
    lines = source.encode().splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "trt" and isinstance(node.ctx, ast.Load):
            line, at = lines[node.lineno - 1], node.col_offset
            lines[node.lineno - 1] = line[:at] + b"tr_" + line[at + 3 :]
    return b"".join(lines).decode() + "\nimport tensorrt as tr_\n"
