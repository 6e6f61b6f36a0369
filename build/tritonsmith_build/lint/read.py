"""Read a model repository from disk: the one place of the linter that opens files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_build.lint.backends import backend_of, onnx_file
from tritonsmith_build.lint.contents import DEFAULT, STEP, ConfigFile, Model, Repository, Version
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.onnx_graph import graph_from_onnx
from tritonsmith_build.lint.parse_config import config_from
from tritonsmith_build.lint.rules import found
from tritonsmith_build.repository import MANIFEST

CONFIG = "config.pbtxt"
_GIVE_REPOSITORY = "give the folder that Triton's --model-repository names"


def repository_from_folder(folder: Path) -> tuple[Repository, list[Finding]]:
    """Every model of a repository, and a finding for each configuration that does not read.

    Raises SmithError where the folder is no repository.
    """
    if not folder.is_dir():
        raise SmithError("no such folder", where=folder, fix=_GIVE_REPOSITORY)
    if (folder / CONFIG).is_file():
        raise SmithError("is a model, not a repository of models", where=folder, fix=f"give {folder.parent}")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    if not folders:
        raise SmithError("holds no model", where=folder, fix=_GIVE_REPOSITORY)
    findings: list[Finding] = []
    models = {path.name: _model(path, findings) for path in folders}
    return Repository(models, lambda path: _size(folder / path)), findings


def _model(folder: Path, findings: list[Finding]) -> Model:
    files = {file.stem: file for file in sorted((folder / "configs").glob("*.pbtxt"))}
    if (folder / CONFIG).is_file():
        files = {DEFAULT: folder / CONFIG, **files}
    read = {name: _config(file.relative_to(folder.parent).as_posix(), file) for name, file in files.items()}
    configs = {name: config for name, config in read.items() if isinstance(config, ConfigFile)}
    findings += [finding for finding in read.values() if isinstance(finding, Finding)]
    numbered = {int(path.name): path for path in folder.iterdir() if path.is_dir() and _is_version(path.name)}
    return Model(
        name=folder.name,
        configs=configs,
        broken=frozenset(read.keys() - configs.keys()),
        versions={number: _version(number, numbered[number], configs.values()) for number in sorted(numbered)},
        warmup_files=frozenset(_files(folder / "warmup")),
    )


def _config(path: str, file: Path) -> ConfigFile | Finding:
    try:
        return config_from(path, file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        return found("config-unreadable", path, "", f"byte {error.start} is not UTF-8", "save it as UTF-8")


def _is_version(name: str) -> bool:
    # Triton passes over names with leading zeros.
    return name.isascii() and name.isdecimal() and (name == "0" or not name.startswith("0"))


def _version(number: int, folder: Path, configs: Iterable[ConfigFile]) -> Version:
    files = _files(folder)
    bare = Version(number, f"{folder.parent.name}/{folder.name}", files, {}, {})
    named = {onnx_file(file.config, backend_of(file.config, [bare])) for file in configs}
    looked_into = [name for name in files if name in (STEP, MANIFEST) or ("/" not in name and name.endswith(".py"))]
    return Version(
        number,
        bare.path,
        files,
        texts={name: (folder / name).read_text(encoding="utf-8", errors="replace") for name in looked_into},
        graphs={name: graph_from_onnx(folder / name) for name in named if name in files},
    )


def _files(folder: Path) -> dict[str, int]:
    """Sizes by path inside ``folder``; folders, which some backends load whole, have size 0."""
    found_here: dict[str, int] = {}
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        found_here |= {(inside / name).as_posix(): 0 for name in folders}
        sizes = {name: _size(Path(place) / name) for name in names}
        found_here |= {(inside / name).as_posix(): size for name, size in sizes.items() if size is not None}
    return found_here


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None
