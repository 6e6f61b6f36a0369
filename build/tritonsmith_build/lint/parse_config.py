"""A configuration's text to Triton's ``ModelConfig``, or to what is wrong with it."""

from __future__ import annotations

import difflib
import re
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonsmith_build.lint.contents import ConfigFile
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found

_UNKNOWN_FIELD = re.compile(r'Message type "(?P<type>[\w.]+)" has no field named "(?P<name>\w+)"')
_UNKNOWN_VALUE = re.compile(r'Enum type "(?P<type>[\w.]+)" has no value named (?P<name>\w+)')
_TWO_SCHEDULERS = re.compile(
    r'Field "(\w+)" is specified along with field "(\w+)", another member of oneof "scheduling_choice"'
)
_POSITION = re.compile(r"^\d+:\d+ : ('.*?': )?", re.DOTALL)


def config_from(path: str, text: str) -> ConfigFile | Finding:
    """Read a configuration; the finding names the line that Triton would not read."""
    try:
        return ConfigFile(path, text, text_format.Parse(text, model_config_pb2.ModelConfig()))
    except text_format.ParseError as error:
        return _explained(path, str(error), error.GetLine(), error.GetColumn())


def _explained(path: str, error: str, line: int | None, column: int | None) -> Finding:
    if two := _TWO_SCHEDULERS.search(error):
        others = [name for name in two.groups() if name != "ensemble_scheduling"]
        fix = "keep one of them" if len(others) == 2 else f"delete {others[0]}: an ensemble batches in its steps"
        message = f"line {line}: {two[1]} beside {two[2]}, which exclude each other"
        return found("two-schedulers", path, two[1], message, fix)
    what = _POSITION.sub("", error)
    message = f"line {line}, column {column}: Triton does not read this: {what}"
    return found("config-unreadable", path, f"line {line}", message, _suggestion(error))


def _suggestion(error: str) -> str:
    pool: Any = model_config_pb2.DESCRIPTOR.pool
    known: list[str] = []
    name = ""
    if field := _UNKNOWN_FIELD.search(error):
        known, name = list(pool.FindMessageTypeByName(field["type"]).fields_by_name), field["name"]
    elif value := _UNKNOWN_VALUE.search(error):
        known, name = list(pool.FindEnumTypeByName(value["type"]).values_by_name), value["name"]
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(known)}" if known else "correct that line"
