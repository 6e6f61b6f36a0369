"""How a build shows itself: a line a stage, with its time or that it was there already."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn


@dataclass
class Stage:
    """One stage while it runs; ``note`` is what its line says besides the time."""

    note: str = ""
    cached: bool = False


class Progress:
    """Prints to a terminal or a log; a terminal also sees a clock run."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextlib.contextmanager
    def stage(self, pipeline: str, name: str) -> Iterator[Stage]:
        """Show one stage of one pipeline."""
        stage, start = Stage(), time.perf_counter()
        columns = (SpinnerColumn(), TextColumn(f"{pipeline}: {name}"), TimeElapsedColumn())
        with Bars(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            bars.add_task(name, total=None)
            yield stage
        took = "cached" if stage.cached else f"{time.perf_counter() - start:.1f} s"
        self.console.print(f"  {pipeline:<12} {name:<10} {took:>8}  {stage.note}".rstrip(), highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """A line between the stages."""
        self.console.print(f"  {line}", highlight=False, soft_wrap=True)
