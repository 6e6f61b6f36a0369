"""A profile as a picture: what more in flight buys and costs, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonsmith_build.profiling.levels import Level
from tritonsmith_build.profiling.sweep import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's, which people of every colour vision tell apart.
COLOURS = ("#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#F0E442")
OUTSIDE = "#BBBBBB"
CURVES = (("p99", "#0072B2", "s"), ("p50", "#000000", "o"))
_ROOM = 1.1
SOLID, HATCHED = "", "////"
Part = tuple[str, list[float], str, str]


def draw(profile: Profile, file: Path) -> None:
    """Write a PNG."""
    from matplotlib.figure import Figure

    levels = [level for level in profile.levels if level.requests]
    figure = Figure(figsize=(15, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _curve(left, levels, profile.knee)
    _bars(right, levels, parts_of(levels))
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper", reverse=True)
    items = profile.asked.several(profile.plan.batch)
    figure.suptitle(f"{profile.plan.pipeline}, {items} a request, closed loop")
    figure.savefig(file, format="png", dpi=120)


def parts_of(levels: Sequence[Level]) -> list[Part]:
    """Name, height by level, colour and hatch of each part of a bar; the heights add up to the mean latency.

    A step's means are of the requests that came to it; a bar is of the mean answer, so those from the cache thin them.
    """
    parts: list[Part] = []
    for number, step in enumerate(levels[0].steps):
        colour = COLOURS[number % len(COLOURS)]
        uses = [level.steps[number] for level in levels]
        scales = [_scale(level) for level in levels]
        queued = [use.queue_ms * scale for use, scale in zip(uses, scales, strict=True)]
        computed = [(use.request_ms - use.queue_ms) * scale for use, scale in zip(uses, scales, strict=True)]
        parts += [(f"{step.model}: queue", queued, colour, HATCHED), (f"{step.model}: compute", computed, colour, SOLID)]
    return [*parts, ("outside the steps", [max(0.0, level.outside_ms or 0.0) for level in levels], OUTSIDE, SOLID)]


def _scale(level: Level) -> float:
    whole = sum(step.request_ms for step in level.steps)
    return level.steps_ms / whole if whole else 0.0


def _curve(axes: Axes, levels: Sequence[Level], knee: Level) -> None:
    rates = [level.requests_per_second for level in levels]
    for name, colour, marker in CURVES:
        heights = [level.latency_ms[name] or 0.0 for level in levels]
        axes.plot(rates, heights, color=colour, marker=marker, label=name)
    for level, rate in zip(levels, rates, strict=True):
        label = f"{level.concurrency} (knee)" if level is knee else str(level.concurrency)
        at = (rate, level.latency_ms["p99"] or 0.0)
        axes.annotate(label, at, textcoords="offset points", xytext=(-7, 5), ha="right")
    axes.set(xlabel="requests/s", ylabel="latency, ms", title="throughput and latency by requests in flight")
    axes.set_xlim(0, _ROOM * max(rates))
    axes.set_ylim(0, _ROOM * max(level.latency_ms["p99"] or 0.0 for level in levels))
    axes.grid(alpha=0.3)
    axes.legend(loc="best")


def _bars(axes: Axes, levels: Sequence[Level], parts: Sequence[Part]) -> None:
    places = [str(level.concurrency) for level in levels]
    feet = [0.0] * len(levels)
    for name, heights, colour, hatch in parts:
        axes.bar(places, heights, bottom=feet, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6, label=name)
        feet = [foot + height for foot, height in zip(feet, heights, strict=True)]
    axes.set(xlabel="requests in flight", ylabel="mean of an answer, ms", title="where the time goes")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
