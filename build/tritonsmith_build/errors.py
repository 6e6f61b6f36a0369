"""The one error that a person at the command line is shown, and how it reads."""

from __future__ import annotations


class SmithError(Exception):
    """Something a person can put right: what went wrong, where, and what to do about it.

    It is printed as ``where: what; fix`` and ends a command with exit code 1, never with a traceback.
    """

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        text = what if where is None else f"{where}: {what}"
        super().__init__(text if fix is None else f"{text}; {fix}")
