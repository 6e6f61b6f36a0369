"""The key without which a server loads, unloads and shares nothing: kept in a file that its owner alone can read."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

from tritonsmith_build.errors import SmithError

HEADER = "tritonsmith-admin-key"
"""Of an HTTP request that has the key."""
GRPC_HEADER = f"triton-grpc-protocol-{HEADER}"
"""Of a gRPC call; Triton puts its own words before the name."""
RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
"""Triton's names for what needs the key. What a caller of a pipeline needs is free: inference, metadata, configurations, health
and statistics."""
ADMIN_KEY = Path(".tritonsmith/admin.key")
"""Where a server of this folder has it, unless it is told otherwise."""
_BYTES = 32
_SAFE = re.compile(r"[A-Za-z0-9_-]{16,}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def admin_key(file: Path) -> str:
    """The key in ``file``, which is made where there is none.

    Raises SmithError where somebody else may read the file, or what it holds is no key.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", encoding="ascii") as made:
            made.write(secrets.token_urlsafe(_BYTES) + "\n")
            made.flush()
            with contextlib.suppress(FileExistsError):  # another server that starts now was quicker: its key is the key
                os.link(made.name, file)
    return read_key(file)


def read_key(file: Path) -> str:
    """The key in ``file``. Raises SmithError as ``admin_key`` does, and where there is no such file."""
    try:
        check_private(file)
        key = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise SmithError("no such file", where=file, fix="give the server's --admin-key-file") from None
    except (OSError, ValueError) as error:
        raise SmithError(f"cannot be read ({error})", where=file) from None
    if not _SAFE.fullmatch(key):
        # Neither is the key in this line, nor how it goes on: the line may end up in a log.
        fix = "put in 16 letters, digits, _ or - at least, or delete it to have one made"
        raise SmithError("what it holds is no key", where=file, fix=fix)
    return key


def check_private(file: Path) -> None:
    """Raise SmithError where somebody else may read a key's file, OSError where it cannot be looked at."""
    if file.stat().st_mode & _OTHERS:
        raise SmithError("others may read the key in it", where=file, fix=f"run: chmod 600 {file}")


def headers(key: str, *, grpc: bool = False) -> dict[str, str]:
    """Of an HTTP request or a gRPC call, nothing where there is no key."""
    return {GRPC_HEADER if grpc else HEADER: key} if key else {}


def flags(key: str) -> list[str]:
    """What Triton is started with. It takes the key in no other way: who sees its process's arguments sees the key."""
    apis = ",".join(RESTRICTED)
    return [f"--http-restricted-api={apis}:{HEADER}={key}", f"--grpc-restricted-protocol={apis}:{HEADER}={key}"] if key else []
