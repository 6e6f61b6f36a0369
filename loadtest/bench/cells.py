"""Which requests are sent how many at once: the same cells for every server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

CONCURRENCY = (1, 8, 32)
ROWS = 32
TEXTS = 512
"""Distinct texts of each workload."""
Workload = Literal["short", "mixed", "long", "zipf"]
WORKLOADS: tuple[Workload, ...] = ("short", "mixed", "long")


@dataclass(frozen=True)
class Cell:
    """One measurement: texts of a workload, ``rows`` a request, ``concurrency`` requests under way at any time."""

    workload: Workload
    rows: int
    concurrency: int

    def __str__(self) -> str:
        return f"{self.workload}, {self.rows} a request, {self.concurrency} at once"


ALL = tuple(
    cell
    for workload in WORKLOADS
    for cell in (*(Cell(workload, 1, concurrency) for concurrency in CONCURRENCY), Cell(workload, ROWS, 1))
)
FEW = (Cell("short", 1, 1), Cell("short", 1, 32), Cell("short", ROWS, 1))
"""For what is shown beside: answers written as decimal numbers."""
ZIPF = (Cell("zipf", 1, 32),)
QUICK = tuple(Cell("short", 1, concurrency) for concurrency in CONCURRENCY)


def workloads_of(cells: Iterable[Cell]) -> list[Workload]:
    """In the order in which they come."""
    return list(dict.fromkeys(cell.workload for cell in cells))
