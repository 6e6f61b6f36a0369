"""Folders of files: a person's own images or recordings, in folders named after their classes where they have any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonsmith_build.errors import SmithError


def files_in(root: Path, suffixes: Sequence[str], noun: str) -> list[Path]:
    """All files below ``root`` with one of the suffixes, in order. Raises SmithError where there is none."""
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in suffixes)
    if not files:
        fix = f"give a folder with {', '.join(suffixes)} files, in folders named after their classes where they have any"
        raise SmithError(f"holds no {noun}", where=root, fix=fix)
    return files


def classes_of(files: Sequence[Path], root: Path) -> list[str]:
    """The class of each, as its own folder is named; nothing where some lie in ``root`` itself."""
    return [file.parent.name for file in files] if all(file.parent != root for file in files) else []
