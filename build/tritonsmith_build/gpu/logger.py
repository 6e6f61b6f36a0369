"""What TensorRT says while it works: it raises nothing, so its log decides whether a build holds."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorrt

# What TensorRT only warns of and what then fails, or is quietly wrong, when the engine runs.
_FATAL_WARNINGS = re.compile(r"not self-consistent|out of bounds|outside the range", re.IGNORECASE)


def logger_of(trt: Any) -> Any:
    """The module's one logger, emptied: TensorRT goes on using the first that a process gives it."""
    logger = _only_logger(trt)
    logger.problems.clear()
    return logger


@contextlib.contextmanager
def excused(trt: Any) -> Iterator[None]:
    """What is said within is not held against the build."""
    problems = _only_logger(trt).problems
    before = len(problems)
    yield
    del problems[before:]


@functools.cache
def _only_logger(trt: Any) -> Any:
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps what must not pass: errors, and warnings of what fails only later."""

        def __init__(self) -> None:
            super().__init__()
            self.problems: list[str] = []

        def log(self, level: tensorrt.ILogger.Severity, message: str) -> None:
            failed = level in (severity.ERROR, severity.INTERNAL_ERROR)
            if failed or (level == severity.WARNING and _FATAL_WARNINGS.search(message)):
                self.problems.append(message.strip())

    return Logger()
