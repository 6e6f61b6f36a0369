"""Medians over the rounds of one run, by server, road and cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from bench.cells import Cell
from bench.results import Limit, Measured, Results, Visit

Key = tuple[str, str, Cell]


class Medians:
    """Looks up what was measured; None where it was not."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._loads: dict[Key, list[Measured]] = defaultdict(list)
        for row in results.loads:
            cell = Cell(row.workload, row.rows, row.concurrency)  # type: ignore[arg-type]
            self._loads[row.server, row.road, cell].append(row)
        self._limits: dict[tuple[str, str], dict[int, list[Limit]]] = defaultdict(lambda: defaultdict(list))
        for limit in results.limits:
            self._limits[limit.precision, limit.workload][limit.rows].append(limit)

    def cells(self) -> Iterable[tuple[Key, list[Measured]]]:
        """All that was measured, in the order of the servers."""
        order = [server.name for server in self.results.servers]
        return sorted(self._loads.items(), key=lambda item: order.index(item[0][0]))

    def rows(self, server: str, road: str, cell: Cell) -> list[Measured]:
        """The rounds of one cell."""
        return self._loads.get((server, road, cell), [])

    @staticmethod
    def of(rows: Sequence[Measured] | Sequence[Limit] | Sequence[Visit], field: str) -> float:
        """The median of one field over the rounds."""
        return float(median(getattr(row, field) for row in rows))

    def value(self, server: str, road: str, cell: Cell, field: str = "per_second") -> float | None:
        """The median of a cell's field."""
        rows = self.rows(server, road, cell)
        return self.of(rows, field) if rows else None

    def texts_per_s(self, server: str, road: str, cell: Cell) -> float | None:
        """The median, counting texts rather than requests."""
        rate = self.value(server, road, cell)
        return None if rate is None else rate * cell.rows

    def visits(self, server: str) -> list[Visit]:
        """The starts of one server."""
        return [visit for visit in self.results.visits if visit.server == server]

    def visit(self, server: str, field: str) -> float | None:
        """The median of a field over those of a server's starts that have it."""
        found = [visit for visit in self.visits(server) if getattr(visit, field) is not None]
        return self.of(found, field) if found else None

    def limits(self) -> list[tuple[str, str]]:
        """Precisions and workloads that were measured in process."""
        return list(self._limits)

    def limit_best(self, precision: str, workload: str) -> tuple[float, int]:
        """The best median throughput over batch sizes, and that size; nothing and 0 where there is none."""
        by_size = self._limits.get((precision, workload), {})
        rates = [(self.of(rows, "texts_per_s"), size) for size, rows in by_size.items()]
        return max(rates, default=(0.0, 0))

    def limit_p50(self, precision: str, workload: str) -> float | None:
        """Milliseconds for one text alone."""
        rows = self._limits.get((precision, workload), {}).get(1)
        return self.of(rows, "p50") if rows else None
