"""The page's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.cells import CONCURRENCY, Cell
from bench.medians import Medians
from bench.results import Growth, Results, Server

# Okabe and Ito's colours, told apart by every kind of eye.
COLOURS = {"fp32": "#0072B2", "bf16": "#009E73", "int8": "#D55E00"}
GREYS = ("#555555", "#777777", "#999999")
MARKERS = "sD^vPX*<>h"
ROADS = {"http": "-", "grpc": "--"}
CURVES = {
    "length": ("tokens a text", "Longer texts"),
    "rows": ("texts a call of the client", "More texts a request"),
    "concurrency": ("requests at once", "More requests at once"),
    "pipelines": ("pipelines on one server", "More pipelines on one server"),
}
LINEAR = {"pipelines"}
"""From 0 on: what hardly changes is to look so."""
_SIZE = (9.5, 6.0)
mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "bench", "axes.spines.top": False, "axes.spines.right": False})


def draw(results: Results, folder: Path) -> list[Path]:
    """All that the results have figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [_latency(results, workload, folder / f"latency-{workload}.png") for workload in ("short", "mixed")]
    made += [_growth(results, curve, folder / f"growth-{curve}.png") for curve in CURVES if results.growth]
    return made


def best_variants(results: Results, workload: str) -> list[Server]:
    """Ours, and of each peer at each precision the variant that does most at 32 callers: more lines would be no picture."""
    medians, best = Medians(results), dict[tuple[str, str], tuple[float, Server]]()
    for server in results.servers:
        rate = medians.value(server.name, "http", Cell(workload, 1, 32))  # type: ignore[arg-type]
        key = (server.folder, server.precision)
        if rate is not None and not (key in best and best[key][0] >= rate):
            best[key] = (rate, server)
    return [server for _, server in best.values()]


def _latency(results: Results, workload: str, file: Path) -> Path:
    medians, figure = Medians(results), Figure(_SIZE, layout="constrained")
    axes, labels = figure.add_subplot(), list[tuple[float, float, str, str]]()
    peers = 0
    for server in best_variants(results, workload):
        ours = server.family == "ours"
        for road, style in ROADS.items() if ours else [("http", "-")]:
            cells = [Cell(workload, 1, at) for at in CONCURRENCY]  # type: ignore[arg-type]
            points = [(medians.value(server.name, road, c), medians.value(server.name, road, c, "p99")) for c in cells]
            seen = [(rate, p99) for rate, p99 in points if rate and p99]
            if not seen:
                continue
            colour = COLOURS[server.precision] if ours else GREYS[peers % len(GREYS)]
            marker = "o" if ours else MARKERS[peers % len(MARKERS)]
            rates, latencies = zip(*seen, strict=True)
            width, size, order = (2.2, 6.0, 3) if ours else (1.2, 4.5, 2)
            axes.plot(rates, latencies, style, color=colour, marker=marker, lw=width, ms=size, zorder=order)
            name = f"{server.title}, {'gRPC' if road == 'grpc' else 'HTTP'}" if ours else _peer_label(server)
            labels.append((*seen[-1], name, colour))
            peers += not ours
    _log(axes, "requests a second", "p99 in ms")
    _spread_labels(axes, labels)
    axes.set_title(f"{workload.capitalize()} texts, one a request, at 1, 8 and 32 at once: right and low is better", loc="left")
    _save(figure, file)
    return file


def _peer_label(server: Server) -> str:
    name = server.title.partition(",")[0]
    return name if server.precision == "fp32" else f"{name} {server.precision.upper()}"


def _growth(results: Results, curve: str, file: Path) -> Path:
    points = [point for point in results.growth if point.curve == curve]
    figure = Figure((9.5, 3.8), layout="constrained")
    rate, latency = figure.subplots(1, 2)
    for number, name in enumerate(dict.fromkeys(point.line for point in points)):
        of_line = [point for point in points if point.line == name]
        colour = tuple(COLOURS.values())[number]
        for axes, fields in ((rate, ("texts_per_s",)), (latency, ("p50", "p99"))):
            for field, style in zip(fields, ("-", ":"), strict=False):
                _grown(axes, of_line, field, style, colour, name if field == "texts_per_s" else f"{name}, {field}")
    xlabel, title = CURVES[curve]
    for axes, ylabel in ((rate, "texts a second"), (latency, "ms (solid p50, dotted p99)")):
        _log(axes, xlabel, ylabel)
        if curve in LINEAR:
            axes.set(xscale="linear", yscale="linear", ylim=(0, None))
        else:
            axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({point.at for point in points}))
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        axes.xaxis.set_minor_formatter(NullFormatter())
    rate.legend(frameon=False)
    figure.suptitle(f"{title}: {results.server(results.growth_server).title}", x=0.01, ha="left")
    _save(figure, file)
    return file


def _grown(axes: Axes, points: Sequence[Growth], field: str, style: str, colour: str, label: str) -> None:
    at = sorted({point.at for point in points})
    rounds = [[getattr(point, field) for point in points if point.at == x] for x in at]
    axes.plot(at, [median(values) for values in rounds], style, color=colour, marker="o", ms=4, label=label)
    axes.fill_between(
        at, [min(values) for values in rounds], [max(values) for values in rounds], color=colour, alpha=0.12, lw=0
    )


def _log(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(_plain))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)


def _plain(value: float, position: Any) -> str:
    return f"{value:g}"


def _spread_labels(axes: Axes, labels: Sequence[tuple[float, float, str, str]]) -> None:
    """Beside each line's end, moved up where two would lie over one another, in a column on the right."""
    if not labels:
        return
    right = max(x for x, *_ in labels) * 1.25
    low, high = axes.get_ylim()
    step = (high / low) ** (1 / 24)
    last = 0.0
    for x, y, name, colour in sorted(labels, key=lambda label: label[1]):
        place = max(y, last * step)
        last = place
        axes.plot([x, right], [y, place], color=colour, lw=0.5, alpha=0.6)
        weight = "bold" if colour in COLOURS.values() else "normal"
        axes.annotate(name, (right, place), xytext=(3, 0), textcoords="offset points", color=colour, va="center", weight=weight)
    axes.set_ylim(low, max(high, last * step))


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=110, metadata={"Software": None})
