"""``step.json``: what may change with a model lives in its version folder, so a new version brings its own."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

FILE = "step.json"
Settings = TypeVar("Settings")


def settings_from(folder: Path, kind: type[Settings]) -> Settings:
    """Read ``folder/step.json`` as the dataclass ``kind``. Raises ValueError naming the file and the key."""
    file = folder / FILE
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); run: tritonsmith render") from error
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if content.keys() != known:
        odd = sorted(content.keys() ^ known)
        raise ValueError(f"{file}: {', '.join(odd)} missing or unknown; run: tritonsmith render")
    return kind(**content)
