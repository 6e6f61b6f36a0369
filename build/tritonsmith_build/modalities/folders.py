"""Folders of files: a person's own images or recordings, in folders named after their classes where they have any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonsmith_build.errors import SmithError


def files_in(root: Path, suffixes: Sequence[str], noun: str, *, option: str = "") -> list[Path]:
    """All files below ``root`` with one of the suffixes, in order.

    Raises SmithError where there is none; ``option`` is how the folder is given on the command line, where it is.
    """
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in suffixes)
    if not files:
        given, classes = (f"{option} ", "") if option else ("", ", in folders named after their classes where they have any")
        fix = f"give {given}a folder with {', '.join(suffixes)} files{classes}"
        raise SmithError(f"holds no {noun}", where=root, fix=fix)
    return files


def classes_of(files: Sequence[Path], root: Path) -> list[str]:
    """The class of each, as its own folder is named; nothing where some lie in ``root`` itself."""
    return [file.parent.name for file in files] if all(file.parent != root for file in files) else []
