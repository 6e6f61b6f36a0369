"""What the linter says: one thing that would fail or hurt, where it stands, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
"""Triton refuses it or answers wrongly; it serves but hurts; worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing found. ``str`` gives the line a person is shown."""

    level: Level
    file: str
    """Path inside the repository, with forward slashes."""
    field: str
    """Dotted path inside the file, ``ensemble_scheduling.step[1].input_map[TEXT]``; empty where the whole file is meant."""
    rule: str
    """A key of ``RULES``."""
    message: str
    fix: str

    def __str__(self) -> str:
        """``file: field: message; fix``."""
        return ": ".join(part for part in (self.file, self.field, self.message) if part) + f"; {self.fix}"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, by file and field."""
    return sorted(dict.fromkeys(findings), key=lambda found: (found.file, found.field, found.rule, found.message))


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where anything is an error, else 0."""
    return int(any(found.level == "error" for found in findings))


def as_dicts(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """For JSON: one object a finding, its keys ``Finding``'s fields."""
    return [asdict(found) for found in findings]
