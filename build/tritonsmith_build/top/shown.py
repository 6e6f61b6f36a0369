"""The live view: a table of pipelines, looked at again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tritonsmith_build.top.page import Page
from tritonsmith_build.top.rows import Row, rows

_LOUD = "bold red"


def looks(look: Callable[[], Page], every: float) -> Iterator[list[Row]]:
    """The rows between each look and the next, without end."""
    before = look()
    while True:
        time.sleep(every)
        now = look()
        yield rows(before, now)
        before = now


def live(looked: Iterator[list[Row]], console: Console) -> None:
    """Show them in place until Ctrl-C."""
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as shown:
        for found in looked:
            shown.update(table(found), refresh=True)


def saved(found: Sequence[Row], picture: Path, title: str) -> None:
    """The table as an SVG picture of a terminal."""
    with Path("/dev/null").open("w") as nowhere:
        recorder = Console(record=True, file=nowhere, width=120)
        recorder.print(table(found))
        recorder.save_svg(str(picture), title=title)


def table(found: Sequence[Row]) -> Table:
    """As people read it."""
    made = Table(box=None, pad_edge=False)
    made.add_column("pipeline", no_wrap=True)
    for name in ("answers/s", "p50 ms", "p99 ms", "wait", "failed/s", "refused/s", "batch", "cached"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("most time", no_wrap=True)
    made.add_column("drift")
    for row in found:
        failed = Text(f"{row.failed:g}", style=_LOUD if row.failed else "")
        numbers = (f"{row.answered:g}", _or_dash(row.p50_ms), _or_dash(row.p99_ms), str(row.waiting))
        more = (f"{row.refused:g}", _or_dash(row.batch), f"{row.cached:.0%}" if row.cached is not None else "-")
        made.add_row(row.pipeline, *numbers, failed, *more, _slowest(row), _drift(row))
    return made


def _slowest(row: Row) -> str:
    """The step at which requests spend most of their time, and how much of it."""
    step = max(row.steps, key=row.steps.__getitem__, default="")
    return f"{step} {row.steps[step]:.0%}" if step else "-"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _drift(row: Row) -> Text:
    """What has drifted, by how many limits, or how much of its limit the feature that comes next is."""
    if not row.drift:
        return Text("-")
    drifted = [f"{feature} {over:.1f} x" for feature, over in row.drift.items() if over > 1]
    if drifted:
        return Text(", ".join(drifted), style=_LOUD)
    return Text(f"none ({max(row.drift.values()):.0%})")
