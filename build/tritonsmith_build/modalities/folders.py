"""Folders of files: a person's own images or recordings, in folders named after their classes where they have any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.modality import Purpose
from tritonsmith_build.tables import PipelineSpec

Settings = TypeVar("Settings")
Made = TypeVar("Made")


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


@dataclass(frozen=True)
class Files(Generic[Settings]):
    """A build's own images or recordings: files, or made by chance, each as the served step would have it."""

    settings: Settings
    """The first step's."""
    sources: Sequence[Path | int]
    """Files, or seeds of what is made."""
    labels: Sequence[str] = ()
    """The class of each, as its folder is named; nothing where it is not known."""

    @property
    def key(self) -> Any:
        """The files' content, or the seeds; settings are the model's."""
        return [sha256(source) if isinstance(source, Path) else source for source in self.sources]

    def __len__(self) -> int:
        return len(self.sources)

    def first(self, count: int) -> Self:
        """So many of them at most."""
        return replace(self, sources=self.sources[:count], labels=self.labels[:count])

    def usable(self, make: Callable[[Path | int], Made], source: Path | int) -> Made:
        """What ``make`` makes of a source. Raises SmithError with the source's name where that raises ValueError."""
        try:
            return make(source)
        except ValueError as error:
            fix = "replace it or take it out"
            raise SmithError(f"cannot be used in the gate or calibration data ({error})", where=source, fix=fix) from None


_MADE: Mapping[Purpose, tuple[int, int]] = {"gate": (32, 1), "calibration": (32, 2)}
"""How many are made where a spec names none, and the seed of their making."""


def sources_for(
    spec: PipelineSpec, purpose: Purpose, suffixes: Sequence[str], noun: str
) -> tuple[Sequence[Path | int], Sequence[str]]:
    """The files of the folder that the spec names and their classes, as ``Files`` has them; or seeds, and no classes.

    A file's class is what its own folder is called, unless some lie in the named folder itself.
    """
    data = getattr(spec, purpose).data
    if data is None:
        count, seed = _MADE[purpose]
        return [seed * 1000 + number for number in range(count)], []
    root = spec.beside(data)
    files = files_in(root, suffixes, noun)
    return files, [file.parent.name for file in files] if all(file.parent != root for file in files) else []
