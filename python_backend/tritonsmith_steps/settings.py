"""``step.json``: what may change with a model lives in its version folder, so a new version brings its own."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

FILE = "step.json"
Settings = TypeVar("Settings")


def defaults(kind: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass that may be left out, with what they then are."""
    made = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    return made | {field.name: field.default_factory() for field in fields(kind) if field.default_factory is not MISSING}


def settings_from(folder: Path, kind: type[Settings]) -> Settings:
    """Read ``folder/step.json`` as the dataclass ``kind``; what has a default may be left out.

    Raises ValueError naming the file and the key.
    """
    file = folder / FILE
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); run: tritonsmith render") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: holds no object; run: tritonsmith render")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if odd := sorted((content.keys() - known) | (known - defaults(kind).keys() - content.keys())):
        raise ValueError(f"{file}: {', '.join(odd)} missing or unknown; run: tritonsmith render")
    try:
        return kind(**content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}; run: tritonsmith render") from None
