"""Results of build stages, kept by what went into them: the same inputs are never computed twice."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import tritonsmith_steps

from tritonsmith_build.errors import SmithError

_CODE = Path(__file__).parent
_STEPS = Path(tritonsmith_steps.__file__).parent
_ELSEWHERE = "set TRITONSMITH_CACHE or --repository to a folder that can be written"
_DISK_FIXES = {
    errno.ENOSPC: ("no space left on the disk", f"free some, or {_ELSEWHERE}; nothing was replaced"),
    errno.EDQUOT: ("the disk quota is used up", f"free some, or {_ELSEWHERE}; nothing was replaced"),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("permission denied", _ELSEWHERE),
}


def digest(*parts: object) -> str:
    """A SHA-256 over values that JSON can hold (paths as text)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code(*files: str) -> str:
    """A digest of this package's own files: a changed stage is another stage."""
    return digest([(_CODE / file).read_text(encoding="utf-8") for file in files])


def steps_code(*files: str) -> str:
    """The same of files of the serving steps, which a build runs to prove what will be served; of all where none is named."""
    named = files or sorted(file.name for file in _STEPS.glob("*.py"))
    return digest([(_STEPS / file).read_text(encoding="utf-8") for file in named])


def versions(*packages: str) -> dict[str, str]:
    """The installed versions, without importing anything."""
    return {package: metadata.version(package) for package in packages}


class StageCache:
    """A folder of results, one a stage and key. What is interrupted leaves nothing behind."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def default(cls) -> StageCache:
        """``$TRITONSMITH_CACHE``, else ``tritonsmith`` in the user's cache folder."""
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(os.environ.get("TRITONSMITH_CACHE") or Path(base) / "tritonsmith"))

    def has(self, stage: str, key: str) -> bool:
        """Whether the result is there already."""
        return (self.root / stage / key).is_dir()

    def folder(self, stage: str, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of a stage's result; ``make`` fills it where there is none yet."""
        final = self.root / stage / key
        if final.is_dir():
            return final
        with disk_errors(self.root):
            final.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.root, prefix=f".{stage}-", ignore_cleanup_errors=True) as scratch:
                made = Path(scratch) / "made"
                made.mkdir()
                make(made)
                try:
                    made.rename(final)
                except OSError:
                    if not final.is_dir():  # else another build has finished the same stage meanwhile
                        raise
        return final


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into an error that a person can act on."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in _DISK_FIXES):
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        what, fix = _DISK_FIXES[cause.errno]
        raise SmithError(what, where=cause.filename or where, fix=fix) from None
