"""Print what some extras require, a line each, without the base install: pip knows no way to ask for that alone.

``python3 deploy/print_requirements.py pyproject.toml steps > steps.txt``
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BASE = "base"


def requirements(project: Mapping[str, Any], extras: Iterable[str]) -> list[str]:
    """The requirements of extras of a ``[project]`` table, ``base`` being its ``dependencies``; each once.

    An extra that names others of the same project (``name[a,b]``) has theirs. Raises KeyError for one that is not there.
    """
    return list(dict.fromkeys(line for extra in extras for line in _of(project, extra)))


def _of(project: Mapping[str, Any], extra: str) -> Iterator[str]:
    own = re.compile(rf"{re.escape(project['name'])}\[([\w, -]+)\]")
    lines = project["dependencies"] if extra == BASE else project["optional-dependencies"][extra]
    for line in lines:
        if others := own.fullmatch(line):
            yield from requirements(project, (name.strip() for name in others[1].split(",")))
        else:
            yield line


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the lines; one line and exit code 1 for an extra that is not there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("extras", nargs="+", help=f"names of extras; {BASE} for what every install requires")
    said = parser.parse_args(arguments)
    project = tomllib.loads(said.pyproject.read_text(encoding="utf-8"))["project"]
    try:
        sys.stdout.writelines(f"{line}\n" for line in requirements(project, said.extras))
    except KeyError as error:
        sys.exit(f"error {said.pyproject}: there is no extra {error}")


if __name__ == "__main__":
    main()
