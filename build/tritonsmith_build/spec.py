"""One pipeline's TOML file read: every key known, every error with file, key and fix."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Union, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tritonsmith_build.errors import SmithError
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import JOINED, TASKS

_SPECS: dict[str, type[PipelineSpec]] = {name: task.spec for name, task in (TASKS | JOINED).items()}
_ADAPTER: TypeAdapter[PipelineSpec] = TypeAdapter(
    Annotated[Union[tuple(_SPECS.values())], Field(discriminator="task")]  # type: ignore[arg-type]  # noqa: UP007
)
_READ_FROM_FILE = ("name", "folder", "part_of")


def spec_from_file(file: Path) -> PipelineSpec:
    """Read one pipeline's TOML. The file's name, without its ending, is the pipeline's name.

    Raises SmithError with file, key and fix, a line each, for everything that is wrong with it.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SmithError("no such spec", where=file, fix=_nearby(file)) from None
    except IsADirectoryError:
        raise SmithError("is a folder", where=file, fix="give the name of a pipeline or the path of its TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SmithError(f"not valid TOML: {error}", where=file, fix="correct that line") from None
    if clash := [key for key in _READ_FROM_FILE if key in content]:
        raise SmithError(f"{clash[0]}: unknown key", where=file, fix="delete it: the file's own name names the pipeline")
    try:
        return _ADAPTER.validate_python({**content, "name": file.stem, "folder": file.parent.absolute()})
    except ValidationError as error:
        raise SmithError("\n".join(f"{file}: {_explain(dict(problem), content)}" for problem in error.errors())) from None


def _nearby(file: Path) -> str:
    there = sorted(path.name.removesuffix(".toml") for path in file.parent.glob("*.toml") if ".lock" not in path.name)
    return f"there are {', '.join(there)}" if there else "give a name under pipelines/ or the path of a TOML file"


def _explain(problem: dict[str, Any], content: dict[str, Any]) -> str:  # noqa: PLR0911 (a row a kind of error)
    """One line of what pydantic found: the key as the file writes it, what is wrong, what to write instead."""
    path = [str(part) for part in problem["loc"]]
    if path and path[0] == content.get("task"):  # which kind of spec it was read as, no key of the file
        path = path[1:]
    key = ".".join(path)
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(content.get("task"), path[:-1])
            close = difflib.get_close_matches(path[-1], known, n=1)
            fix = f"did you mean {'.'.join([*path[:-1], close[0]])}?" if close else f"known here: {', '.join(known)}"
            return f"{key}: unknown key; {fix}"
        case "missing":
            return f"{key}: missing; add it" + (", for example [source] path = '../my-model'" if key == "source" else "")
        case "union_tag_invalid":
            task = content.get("task")
            close = difflib.get_close_matches(str(task), _SPECS, n=1)
            return f"task: unknown task {task!r}; " + (
                f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_SPECS)}"
            )
        case "union_tag_not_found":
            return f"task: missing; add one of: {', '.join(_SPECS)}"
        case "string_pattern_mismatch" if key == "name":
            return "the file's name names models in Triton; use small letters, digits and _, beginning with a letter"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
    message = str(problem["msg"])
    return f"{key}: {message[0].lower()}{message[1:]}, not {problem['input']!r}"


def table_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a key of a table has, or may have."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _known_keys(task: object, path: list[str]) -> list[str]:
    table: type[BaseModel] = _SPECS[str(task)]
    for part in path:
        below = table_in(table.model_fields[part].annotation)
        if below is None:
            return []
        table = below
    return [key for key in table.model_fields if path or key not in _READ_FROM_FILE]
