"""The report's pictures, as SVG to stand inside the page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load.counters import PARTS, StepTimes
from load.recording import Window

# Okabe and Ito's, which people of every colour vision tell apart.
_BLUE, _RED, _GREEN, _BLACK, _GREY = "#0072B2", "#D55E00", "#009E73", "#000000", "#999999"
_PARTS = dict(zip(PARTS, (_GREY, "#56B4E9", _RED, _GREEN), strict=True))


def course(windows: Sequence[Window]) -> str:
    """Throughput, errors, users and latency, second by second."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    seconds = [window.seconds for window in windows]
    above.plot(seconds, [window.requests_per_second for window in windows], color=_BLUE, label="answers/s")
    above.plot(seconds, [window.errors_per_second for window in windows], color=_RED, label="errors/s")
    above.plot(seconds, [window.users for window in windows], color=_GREY, linestyle="--", label="users")
    below.plot(seconds, [window.p99_ms for window in windows], color=_BLUE, label="p99, ms")
    below.plot(seconds, [window.p50_ms for window in windows], color=_BLACK, label="p50, ms")
    below.set_xlabel("seconds")
    for axes in (above, below):
        _tidy(axes)
    return _svg(figure)


def stairs(levels: Sequence[Window], knee: Window | None) -> str:
    """What more users bought and cost."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    users = [str(level.users) for level in levels]
    left.plot(users, [level.requests_per_second for level in levels], color=_BLUE, marker="o", label="answers/s")
    right.plot(users, [level.p99_ms for level in levels], color=_BLUE, marker="s", label="p99, ms")
    right.plot(users, [level.p50_ms for level in levels], color=_BLACK, marker="o", label="p50, ms")
    for axes in (left, right):
        if knee is not None:
            axes.axvline(str(knee.users), color=_GREY, linestyle=":", label="knee")
        axes.set_xlabel("users")
        _tidy(axes)
    return _svg(figure)


def split(steps: Sequence[StepTimes]) -> str:
    """Where the mean request of each model was, by Triton's own counters."""
    figure = Figure(figsize=(11, 0.8 + 0.4 * len(steps)), layout="constrained")
    axes = figure.subplots()
    names, feet = [step.model for step in steps], [0.0] * len(steps)
    for part, colour in _PARTS.items():
        widths = [getattr(step, part) for step in steps]
        axes.barh(names, widths, left=feet, color=colour, label=part)
        feet = [foot + width for foot, width in zip(feet, widths, strict=True)]
    axes.set_xlabel("mean of a request, ms")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure)


def _tidy(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg")
    text = file.getvalue()
    return text[text.index("<svg") :]
