"""Files as callers have them: their bytes, or where they lie."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.errors import InvalidInputError


def content(index: int, file: bytes | bytearray | memoryview | str | Path, kinds: str) -> bytes:
    """The bytes of a file. Raises InvalidInputError where a path leads to none; ``kinds`` says what may be given."""
    if not isinstance(file, str | Path):
        return bytes(file)
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"{file!s:.200}: {reason}; give {kinds}", item=index) from None
