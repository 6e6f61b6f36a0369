"""Prepared request bodies in a file, as both load generators read it: each with its length on a line before it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write_bodies(file: Path, bodies: Iterable[bytes]) -> None:
    """Bodies may hold anything, line ends too."""
    with file.open("wb") as out:
        for body in bodies:
            out.write(b"%d\n%s\n" % (len(body), body))


def read_bodies(file: Path) -> list[bytes]:
    """What ``write_bodies`` wrote."""
    bodies = []
    with file.open("rb") as source:
        while line := source.readline():
            bodies.append(source.read(int(line)))
            source.readline()
    return bodies
