"""How a build shows itself: a line a stage, with its time or that it was there already."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


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

    @contextlib.contextmanager
    def planned(self, what: str, seconds: float) -> Iterator[Callable[[float, str], None]]:
        """A bar for work whose length is known; it is called with the seconds done since and what is under way.

        Only a terminal sees it. It is drawn twice a second, for what it costs would be part of what is measured.
        """
        columns = (BarColumn(), TextColumn("{task.description}, about {task.fields[left]:.0f} s left"))
        with Bars(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal, refresh_per_second=2
        ) as bars:
            task = bars.add_task(what, total=seconds, left=seconds)
            done = 0.0

            def passed(more: float, under_way: str) -> None:
                nonlocal done
                done += more
                bars.update(task, description=f"{what}: {under_way}", completed=done, left=max(0.0, seconds - done))

            yield passed

    def say(self, line: str) -> None:
        """A line between the stages."""
        self.console.print(f"  {line}", highlight=False, soft_wrap=True)
