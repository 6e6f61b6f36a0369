"""Triton's configuration text: written in the order a person expects, read back with Triton's own protobuf."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonsmith_build.errors import SmithError


class Word(str):
    """An enum's name: written without quotes."""


def pbtxt(message: Mapping[str, Any]) -> str:
    """A message as protobuf text. Values are texts, ``Word``, numbers, booleans, mappings, and sequences of these."""
    return "".join(_field(key, value, "") for key, value in message.items())


def _field(key: str, value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, Mapping):
        return f"{indent}{key} {{\n" + "".join(_field(k, v, deeper) for k, v in value.items()) + f"{indent}}}\n"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and isinstance(value[0], Mapping):
            return "".join(_field(key, item, indent) for item in value)
        return f"{indent}{key}: [{', '.join(_scalar(item) for item in value)}]\n"
    return f"{indent}{key}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, Word | int | float) else json.dumps(value, ensure_ascii=False)


def config_from_text(text: str, *, where: object) -> Any:
    """Triton's ``ModelConfig``. Raises SmithError with the line and field that Triton would not read."""
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise SmithError(f"not a Triton model configuration: {error}", where=where, fix="correct that field") from None
