"""What TensorRT's own Python bindings say its API is, of each version that the code in ``gpu`` must fit.

The bindings can be installed anywhere, the libraries below them cannot. They ask those for nothing but a handful of C functions
that make the first object, so an empty function of each name is enough to import them and to look at every class.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lief
from served import ROOT

VERSIONS = ("10.16", "11")
"""The folders of the bindings, one a version; the Makefile has the exact versions."""


def bindings_folder() -> Path:
    """Where the bindings are installed."""
    return Path(os.environ.get("TRITONSMITH_TENSORRT_BINDINGS", ROOT / ".venv" / "tensorrt-bindings"))


@dataclass(frozen=True)
class Bindings:
    """TensorRT's Python package of one version, importable in a process of its own."""

    version: str
    packages: Path
    libraries: Path

    def python(self, *arguments: str, given: str = "") -> str:
        """What Python prints when it is run with ``arguments`` and the bindings within reach."""
        before = os.environ.get("LD_LIBRARY_PATH")
        found = {
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [str(self.libraries), before])),
            "PYTHONPATH": os.pathsep.join([str(self.libraries), str(self.packages)]),
        }
        return _output([sys.executable, *arguments], env=os.environ | found, input=given)

    def missing(self, names: Iterable[str]) -> set[str]:
        """Those of ``names``, such as ``LayerType.SHUFFLE``, that the module does not have."""
        return set(json.loads(self.python("-c", _MISSING, given=json.dumps(sorted(names)))))


_MISSING = """
import functools, json, sys, tensorrt_bindings
absent = object()
there = lambda name: functools.reduce(lambda at, part: getattr(at, part, absent), name.split("."), tensorrt_bindings)
print(json.dumps([name for name in json.load(sys.stdin) if there(name) is absent]))
"""


def bindings(version: str, folder: Path) -> Bindings:
    """The bindings of ``version``, with stand-ins for TensorRT's libraries written to ``folder``."""
    packages = bindings_folder() / version
    module = lief.parse(packages / "tensorrt_bindings" / "tensorrt.so")
    assert isinstance(module, lief.ELF.Binary), f"{packages} holds no TensorRT bindings for this machine"
    assert shutil.which("cc"), "a C compiler is needed: apt-get install gcc"
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _functions_of_tensorrt(module)))
    for library in (name for name in module.libraries if str(name).startswith("libnv")):
        _output(["cc", "-shared", "-fPIC", "-nostdlib", "-o", str(folder / str(library)), str(source)])
    # Where the real libraries are installed too, their package would load them first.
    (folder / "tensorrt_libs.py").write_text("")
    return Bindings(version, packages, folder)


def _functions_of_tensorrt(module: lief.ELF.Binary) -> list[str]:
    # What the C and C++ libraries define carries a version, TensorRT's functions and Python's do not.
    unversioned = {
        str(symbol.name)
        for symbol in module.dynamic_symbols
        if symbol.imported
        and symbol.binding == lief.ELF.Symbol.BINDING.GLOBAL
        and not (symbol.symbol_version and symbol.symbol_version.has_auxiliary_version)
    }
    return sorted(name for name in unversioned if not name.startswith(("Py", "_Py")))


def _output(command: Sequence[str], **options: object) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert ran.returncode == 0, f"{' '.join(command)[:200]}: {ran.stderr}"
    return str(ran.stdout)


# Names of the module that a file uses


def names_used(source: str) -> dict[str, int]:
    """The names that are read from a module called ``trt``, such as ``LayerType.SHUFFLE``, each with its first line."""
    reads = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    within = {id(node.value) for node in reads}
    used: dict[str, int] = {}
    for node in sorted(reads, key=lambda node: node.lineno):
        parts = _parts(node)
        if id(node) not in within and "trt" in parts[:-1]:
            used.setdefault(".".join(parts[parts.index("trt") + 1 :]), node.lineno)
    return used


def _parts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [*_parts(node.value), node.attr.removeprefix("_") if node.attr == "_trt" else node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]
