"""Results at the command line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bench.medians import Medians
from bench.ratios import Ratio
from bench.results import Results


def loads_table(results: Results) -> Table:
    """A row a server, road and cell, and the limit's rows."""
    table = Table("", "cell", "texts/s", "min–max", "p50 ms", "p99 ms", "errors", "load's CPU", box=None, pad_edge=False)
    medians = Medians(results)
    for (server, road, cell), rows in medians.cells():
        rates = [row.per_second * row.rows for row in rows]
        cpu = sum(row.loader_cpu for row in rows) / sum(row.seconds for row in rows)
        spread, p50, p99 = f"{min(rates):.0f}–{max(rates):.0f}", medians.of(rows, "p50"), medians.of(rows, "p99")
        rate = medians.of(rows, "per_second") * cell.rows
        errors = sum(row.errors for row in rows)
        name = f"{results.server(server).title}, {road}"
        table.add_row(name, str(cell), f"{rate:.0f}", spread, f"{p50:.2f}", f"{p99:.2f}", str(errors), f"{cpu:.0%}")
    for precision, workload in medians.limits():
        best, rows_best = medians.limit_best(precision, workload)
        name, said = f"in process {precision.upper()}", f"{workload}, 1 at once; best batch {rows_best}"
        table.add_row(name, said, f"{best:.0f}", "", f"{medians.limit_p50(precision, workload):.2f}")
    return table


def ratios_table(ratios: Sequence[Ratio]) -> Table:
    """What was aimed at and what came out."""
    table = Table("ratio", "value", "goal", "must", "", "", box=None, pad_edge=False)
    for ratio in ratios:
        if ratio.value is not None:
            table.add_row(ratio.name, ratio.shown, ratio.shown_goal, ratio.shown_must, ratio.verdict, ratio.beside)
    return table


def compared(ours: Sequence[Ratio], theirs: Sequence[Ratio], *, within: float = 0.10) -> tuple[Table, list[str]]:
    """Every ratio of two runs with its change, and the names of those that moved by more than ``within``."""
    table = Table("ratio", "A", "B", "change", "", box=None, pad_edge=False)
    moved = []
    by_name = {ratio.name: ratio for ratio in theirs}
    for ratio in ours:
        other = by_name.get(ratio.name)
        if other is None or not ratio.value or other.value is None:
            continue
        change = other.value / ratio.value - 1
        far = abs(change) > within
        moved += [ratio.name] if far else []
        table.add_row(ratio.name, ratio.shown, other.shown, f"{change:+.1%}", "moved" if far else "")
    return table, moved
