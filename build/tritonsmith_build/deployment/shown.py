"""What an upgrade found, as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tritonsmith_build.deployment.shadow import Comparison
from tritonsmith_build.deployment.upgrade import Moved


def show_comparison(found: Comparison, console: Console) -> None:
    """Print how the two versions compare."""
    table = Table("", "p50", "p99 ms", box=None, pad_edge=False, header_style="bold")
    for name, latency in (("old", found.old), ("new", found.new)):
        table.add_row(name, f"{latency.p50:.1f}", f"{latency.p99:.1f}")
    console.print(table)
    asked = f"{found.items} items: the versions agree on {found.agreement:.4f} of them"
    console.print(f"{asked}, the new one takes {found.slowdown:.2f} times as long (p50)", highlight=False, soft_wrap=True)


def show_moved(moved: Moved, console: Console) -> None:
    """Print what is live now."""
    said = f"{moved.pipeline}: version {moved.live} answers, version {moved.before} did before; {moved.seconds:.1f} s"
    console.print(said, highlight=False, soft_wrap=True)
