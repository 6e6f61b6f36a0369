"""A profile as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tritonsmith_build.profiling.levels import Level
from tritonsmith_build.profiling.sweep import LOOP, Profile

_PIPED_WIDTH = 120


def show(profile: Profile, console: Console) -> None:
    """Print the sweep, the steps at the knee, and what to do."""
    shown = console if console.is_terminal else Console(width=_PIPED_WIDTH)
    level = profile.knee

    def say(text: str) -> None:
        shown.print(text, highlight=False, soft_wrap=True, markup=False)

    say(f"{profile.plan.pipeline} at {profile.plan.url}, {LOOP}")
    shown.print(sweep_table(profile))
    for kind, message in {kind: text for row in profile.levels for kind, text in row.error_messages.items()}.items():
        say(f"{kind}: {message}")
    say(f"\nthe knee is at {level.concurrency} in flight; where the time of a request goes there, means in ms")
    shown.print(step_table(level))
    say(f"\nbottleneck  {profile.verdict.says}")
    say(f"advice      {profile.verdict.advice}")
    if profile.verdict.knobs:
        say(f"knobs       {', '.join(profile.verdict.knobs)}")
    for note in profile.verdict.notes:
        say(f"note        {note}")


def sweep_table(profile: Profile) -> Table:
    """A row a concurrency; the rows are those of the engine's mean batch, the client's share that of its loop."""
    names = ("callers", "requests/s", f"{profile.asked.noun}s/s", "p50", "p95", "p99 ms", "errors", "rows", "cached", "client")
    table = _table(*names)
    for level in profile.levels:
        engine = next(step for step in level.steps if step.model == profile.engine)
        table.add_row(
            str(level.concurrency),
            _rate(level.requests_per_second),
            _rate(level.items_per_second),
            *(_ms(level.latency_ms[name]) for name in ("p50", "p95", "p99")),
            ", ".join(f"{count} {kind}" for kind, count in level.errors.items()) or "0",
            f"{engine.batch_rows:.1f}" if engine.executions else "-",
            _share(level.cache_hit_share),
            _share(level.client_loop_share),
            style="bold" if level is profile.knee else "",
        )
    return table


def step_table(level: Level) -> Table:
    """A row a step, then what passes outside them."""
    table = _table("step", "busy", "batches/s", "rows", "queue", "input", "infer", "output", "sum")
    table.columns[0].justify = "left"
    for step in level.steps:
        parts = (step.queue_ms, step.input_ms, step.infer_ms, step.output_ms, step.request_ms)
        table.add_row(
            step.model,
            _share(step.busy_share),
            _rate(step.executions_per_second),
            f"{step.batch_rows:.1f}",
            *(f"{part:.2f}" for part in parts),
        )
    blank = [""] * 7
    table.add_row("outside the steps", *blank, f"{level.outside_ms or 0:.2f}")
    table.add_row("an answer", *blank, f"{level.latency_ms['mean'] or 0:.2f}")
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=name != "errors")
    return table


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else _rate(value)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
