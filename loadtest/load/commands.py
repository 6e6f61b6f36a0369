"""``python -m load``: scenarios without a web page, against a server that is there or one of its own; and an overload."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from tritonsmith_build.errors import SmithError

from load.apart import cores_apart, held_to
from load.locusting import Target, locust, own_server
from load.overload import Overload, overload, queue_of, requests, saturated, tuned
from load.scenario import scenario_from_file
from load.soak import Soak, soak
from load.soak import saturated as soaked

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Repository = Annotated[Path, typer.Option(help="what to serve")]
Report = Annotated[Path, typer.Option(help="folder for report.html and its figures")]
_SATURATING_SECONDS = 10.0
_REPOSITORY, _REPORT = Path("model_repository"), Path(".tritonsmith/load")


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="a scenario's TOML")],
    url: Annotated[str, typer.Option(help="the server, grpc://… or http://…; left out, one of its own")] = "",
    metrics_url: Annotated[str, typer.Option(help="Triton's metrics page; port 8002 of the same host")] = "",
    repository: Repository = _REPOSITORY,
    protocol: Annotated[str, typer.Option(help="grpc or http, where no --url is given")] = "grpc",
    report: Report = _REPORT,
) -> None:
    """Load a deployment with Locust, and exit with 1 where one of the scenario's limits is broken.

    Example: python -m load run loadtest/scenarios/steady.toml --url grpc://localhost:8001
    """
    with _errors(), contextlib.ExitStack() as stack:
        wanted = scenario_from_file(scenario)
        if url:
            target = Target(url, metrics_url)
        else:
            names = [asked.name for asked in wanted.pipelines]
            target = stack.enter_context(own_server(repository, names, protocol=protocol))
        code = locust(scenario, target, report, seconds=wanted.load.seconds)
    raise typer.Exit(code)


@app.command("overload")
def overload_(
    pipeline: Annotated[str, typer.Argument(help="a pipeline of single texts")] = "sentiment",
    seconds: Annotated[float, typer.Option(help="of each of the two loads")] = 20.0,
    texts: Annotated[
        int, typer.Option(min=1, help="in a request; where they are few and short, most of the work is to refuse")
    ] = 1,
    queue_seconds: Annotated[
        float,
        typer.Option(help="how long all that waits may take: serving.max_queue_size is set to what is answered meanwhile"),
    ] = 1.0,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="rows that a step takes at most; as built. Four batches should take less than a full queue"),
    ] = None,
    repository: Repository = _REPOSITORY,
    report: Report = _REPORT,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Serve a pipeline without its cache, send it three times what it can do, and say what became of it.

    One core sends and the others serve, as callers are elsewhere in earnest. What saturates the server is
    measured first, and its queue made as long as that allows. Exits with 1 where a limit is broken.
    Example: python -m load overload sentiment --seconds 30
    """
    cores, asked = cores_apart(), requests(texts)
    with _errors(), held_to(cores.callers):

        def server(repository: Path) -> contextlib.AbstractContextManager[Target]:
            return own_server(repository, [pipeline], protocol="http", cache=False, cores=cores.server)

        folder = report / "repository"
        with server(tuned(repository, pipeline, folder, batch=batch)) as target:
            rate = saturated(target, pipeline, asked, report, seconds=seconds)
            queue = queue_of(target, pipeline, asked).taking(queue_seconds * rate)
        with server(tuned(repository, pipeline, folder, batch=batch, queue=queue)) as target:
            figures = overload(target, pipeline, asked, rate, report, seconds=seconds)
        # Once more, and the mean of both: a machine shared with others is not equally fast all the time.
        with server(tuned(repository, pipeline, folder, batch=batch)) as target:
            again = saturated(target, pipeline, asked, report, seconds=seconds)
        figures = replace(figures, saturated_per_second=(rate + again) / 2)
    _end(figures, as_json=as_json)


@app.command("soak")
def soak_(
    pipeline: Annotated[str, typer.Argument(help="a pipeline of single texts")] = "sentiment",
    minutes: Annotated[float, typer.Option(help="of load")] = 15.0,
    share: Annotated[float, typer.Option(help="of what saturates the server")] = 0.7,
    repository: Repository = _REPOSITORY,
    report: Report = _REPORT,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Load a server of its own below saturation, and see whether its memory, open files or segments grow.

    Exits with 1 where they do. Example: python -m load soak sentiment --minutes 2
    """
    with _errors(), own_server(repository, [pipeline], cache=False) as target:
        rate = share * soaked(target, pipeline, report / "saturated", seconds=_SATURATING_SECONDS)
        figures = soak(target, pipeline, rate, report, seconds=60 * minutes)
    _end(figures, as_json=as_json)


def _end(figures: Overload | Soak, *, as_json: bool) -> NoReturn:
    gates = figures.gates()
    if as_json:
        print(json.dumps({**asdict(figures), "gates": [asdict(gate) for gate in gates]}, indent=2))  # noqa: T201
    else:
        _show(figures)
    raise typer.Exit(0 if all(gate.holds for gate in gates) else 1)


def _show(figures: Overload | Soak) -> None:
    table = Table("figure", "found", "limit", "")
    for name, value in asdict(figures).items():
        if not isinstance(value, dict):
            table.add_row(name, "never" if value is None else f"{value:.4g}")
    for gate in figures.gates():
        table.add_row(gate.name, f"{gate.value:.4g}", f"{gate.limit:g}", "holds" if gate.holds else "broken")
    Console().print(table)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except SmithError as error:
        Console(stderr=True).print(f"error {error}", soft_wrap=True, highlight=False, markup=False)
        raise typer.Exit(2) from None


def main() -> None:
    """The command line."""
    app()
