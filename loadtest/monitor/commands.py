"""``python -m monitor``: whether all that is deployed to look at a server sees something."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from load.serving import serving
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tritonsmith.errors import TritonsmithError
from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import examples_from_file

from monitor.cost import Cost, cost
from monitor.load import light_load
from monitor.native import Prometheus, prometheus, targets
from monitor.queries import Query, alerts, panels, recorded

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()
_TEXTS = Path(__file__).parents[2] / "pipelines" / "sentiment" / "gate.tsv"
_RATES = "30s"
_INTERRUPTED = 130
_TURN = 2.0
"""Seconds in which one of the two servers is asked, before the other's turn."""


@dataclass(frozen=True)
class Line:
    """One query and what it found."""

    where: str
    name: str
    found: str
    good: bool


@app.command()
def monitor(
    pipeline: Annotated[str, typer.Option(help="a pipeline of texts")] = "sentiment",
    repository: Annotated[Path, typer.Option(help="where it is built")] = Path("model_repository"),
    seconds: Annotated[int, typer.Option(min=5, help="of light load before Prometheus is asked")] = 40,
    rounds: Annotated[int, typer.Option(min=0, help="in which the cost of watching is measured; 0 leaves it out")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON for machines")] = False,
) -> None:
    """Start a server, Prometheus and a light load; say what every rule and panel found, and what watching costs.

    Exit code 1 where a rule cannot be evaluated or a panel has nothing to show.
    Example: `PYTHONPATH=loadtest python -m monitor --seconds 40`
    """
    texts = examples_from_file(_TEXTS).texts
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(repository, [pipeline]) as server,
        prometheus(targets(server.said), Path(folder), rates=_RATES) as asked,
        light_load(server.url("grpc"), pipeline, texts),
    ):
        for _ in track(range(seconds), "light load", console=Console(stderr=True)):
            time.sleep(1)
        lines = [*_rules(asked), *(_panel(asked, query) for query in panels(pipeline))]
    measured = None
    if rounds:
        with typer.progressbar(length=rounds, label="what watching costs", file=sys.stderr) as bar:
            measured = cost(repository, pipeline, texts, rounds=rounds, seconds=_TURN, told=lambda _: bar.update(1))
    _show(lines, measured, as_json=as_json)
    if bad := [f"{line.where}: {line.name}: {line.found}" for line in lines if not line.good]:
        raise SmithError("; ".join(bad))


def _rules(asked: Prometheus) -> list[Line]:
    known, gpu, lines = asked.rules(), bool(asked.values("nv_gpu_utilization")), []
    for query in (*recorded(), *alerts()):
        rule = known[query.name]
        good = rule["health"] == "ok"
        if query.where == "alert":
            found = f"evaluated, {rule['state']}" if good else rule.get("lastError", rule["health"])
        else:
            count = len(asked.values(query.expression))
            found, good = _said(count), good and count > 0
        lines.append(Line(query.where, query.name, found, good or (query.needs_gpu and not gpu)))
    return lines


def _panel(asked: Prometheus, query: Query) -> Line:
    count = len(asked.values(query.expression))
    if query.needs_gpu and not count:
        return Line(query.where, query.name, "no GPU here", good=True)
    return Line(query.where, query.name, _said(count), good=count > 0 or query.may_be_empty)


def _said(count: int) -> str:
    return f"{count} series" if count else "nothing"


def _show(lines: list[Line], measured: Cost | None, *, as_json: bool) -> None:
    if as_json:
        costs = {"share": measured.share, "bounds": measured.bounds, **asdict(measured)} if measured else None
        sys.stdout.write(json.dumps({"queries": [asdict(line) for line in lines], "cost": costs}, indent=2) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("asked by", "what", "found"):
        table.add_column(name)
    for line in lines:
        table.add_row(line.where, line.name, line.found, style="" if line.good else "bold red")
    console.print(table)
    if measured:
        low, high = measured.bounds
        rates = f"{max(measured.watched):.0f} texts/s at best with, {max(measured.unwatched):.0f} without"
        count = f"median of {len(measured.watched)} rounds, 95 % between {low:.1%} and {high:.1%}"
        console.print(f"\nwatching and the log of requests cost {measured.share:.1%} of throughput ({count}; {rates})")


def main() -> int:
    """Run the command; an error is one line and exit code 1."""
    try:
        app(standalone_mode=False)
    except typer.Abort:
        return _INTERRUPTED
    except (SmithError, TritonsmithError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0
