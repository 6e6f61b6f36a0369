"""The files that a model is loaded from."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from tritonsmith_build.lint.backends import BACKENDS, BUILT, artefacts, backend_of, is_ensemble, model_files
from tritonsmith_build.lint.contents import DEFAULT, ConfigFile, Model, Version
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found

_CLASS = "TritonPythonModel"


def folder_without_config(model: Model) -> Iterator[Finding]:
    """Triton writes a configuration itself where a model file says enough."""
    if DEFAULT in model.configs or DEFAULT in model.broken:
        return
    files = {file for version in model.versions.values() for file in version.files}
    if telling := [backend.file for backend in BACKENDS.values() if backend.file in files]:
        message = f"there is no config.pbtxt; Triton completes one from {telling[0]}, and nothing of it is checked here"
        yield found("config-left-to-triton", model.name, "", message, "write config.pbtxt to fix name, types and batching")
        return
    message = "the folder holds no config.pbtxt, and no file from which Triton could make one"
    yield found("config-missing", model.name, "", message, "write config.pbtxt, or move the folder out of the repository")


def files_to_load(model: Model) -> Iterator[Finding]:
    """The file that the backend loads, and those that parameters name; each missing one is said once."""
    missing: dict[tuple[str, str], Finding] = {}
    for file in model.configs.values():
        if is_ensemble(file.config):
            continue
        named = model_files(file.config, backend_of(file.config, model.versions.values())) | artefacts(file.config)
        for version in model.served(file.config):
            for field, name in named.items():
                if name not in version.files:
                    missing.setdefault((version.path, name), _missing(file, version, field, name))
    yield from missing.values()


def _missing(file: ConfigFile, version: Version, field: str, name: str) -> Finding:
    message = f"{version.path}/{name} is not there"
    if field.startswith("cc_model_filenames"):
        fix = f"build it on a GPU of compute capability {field.partition('[')[2].rstrip(']')}, or delete the entry"
        return found("cc-plan-not-built", file.path, field, message, fix)
    if field.startswith("parameters") or name.endswith(BUILT):
        return found("artefact-not-built", file.path, field, message, "build the model before serving it")
    return found(
        "model-file-missing", file.path, field, message, f"put {name} into {version.path}, or name the file in {field}"
    )


def python_model(model: Model) -> Iterator[Finding]:
    """A Python model's file defines the class that Triton asks for."""
    for file in model.configs.values():
        backend = backend_of(file.config, model.versions.values())
        if backend != "python":
            continue
        for version in model.served(file.config):
            for name in model_files(file.config, backend).values():
                if name in version.texts:
                    yield from _class(f"{version.path}/{name}", version.texts[name])


def _class(path: str, source: str) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in other people's code
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        message = f"it is not valid Python: {getattr(error, 'msg', error)}"
        yield found("python-unreadable", path, f"line {line}" if line else "", message, "correct that line")
        return
    names = {name for node in ast.walk(tree) for name in _defined(node)}
    if not names & {_CLASS, "*"}:
        message = f"it defines no {_CLASS}, the class that Triton makes an instance of"
        yield found("python-class-missing", path, _CLASS, message, f"name the class with execute(self, requests) {_CLASS}")


def _defined(node: ast.AST) -> list[str]:
    """Names that a statement gives; ``*`` for an import of everything."""
    match node:
        case ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return [name]
        case ast.ImportFrom(names=names) | ast.Import(names=names):
            return [alias.asname or alias.name for alias in names]
    return []
