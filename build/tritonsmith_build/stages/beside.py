"""JSON files that may lie beside a model's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError


def json_in(path: Path, default: Any = None) -> Any:
    """A file's content, ``default`` or nothing where there is none. Raises SmithError where it is no JSON."""
    if not path.is_file():
        return {} if default is None else default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SmithError(f"is not JSON ({error})", where=path, fix="copy or download it again") from None
