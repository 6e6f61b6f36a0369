"""``python -m load``: run a scenario without a web page, against a server that is there or one of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tritonsmith_build.errors import SmithError

from load.scenario import scenario_from_file

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
_EXAMPLE = "python -m load loadtest/scenarios/steady.toml --url grpc://localhost:8001 --report .tritonsmith/load"


@dataclass(frozen=True)
class Target:
    """Where to send the load."""

    url: str
    metrics_url: str


@contextlib.contextmanager
def own_server(repository: Path, pipelines: list[str], *, protocol: str) -> Iterator[Target]:
    """``tritonsmith serve`` for the run's time, on free ports. Raises SmithError where it does not come up."""
    command = [sys.executable, "-m", "tritonsmith_build", "serve", f"--repository={repository}", "--json"]
    ports = [f"--{port}-port=0" for port in ("http", "grpc", "metrics")]
    process = subprocess.Popen([*command, *ports, f"--pipelines={','.join(pipelines)}"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SmithError("no server of its own came up", where=repository, fix="see the lines above, or give --url")
        said = json.loads(line)
        yield Target(f"{protocol}://127.0.0.1:{said[protocol]}", f"http://127.0.0.1:{said['metrics']}/metrics")
    finally:
        process.terminate()
        process.wait(timeout=120)


def locust(scenario: Path, target: Target, report: Path, *, seconds: float) -> int:
    """Run Locust without its web page; its exit code."""
    command = [
        *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--scenario", str(scenario), "--host", target.url, "--report", str(report)),
        *(["--metrics-url", target.metrics_url] if target.metrics_url else []),
    ]
    return subprocess.run(command, check=False, timeout=2 * seconds + 300).returncode


def run(
    scenario: Annotated[Path, typer.Argument(help="a scenario's TOML")],
    url: Annotated[str, typer.Option(help="the server, grpc://… or http://…; left out, one of its own")] = "",
    metrics_url: Annotated[str, typer.Option(help="Triton's metrics page; port 8002 of the same host")] = "",
    repository: Annotated[Path, typer.Option(help="what to serve where no --url is given")] = Path("model_repository"),
    protocol: Annotated[str, typer.Option(help="grpc or http, where no --url is given")] = "grpc",
    report: Annotated[Path, typer.Option(help="folder for report.html and its figures")] = Path(".tritonsmith/load"),
) -> None:
    """Load a deployment with Locust, and exit with 1 where one of the scenario's limits is broken."""
    try:
        wanted = scenario_from_file(scenario)
        with contextlib.ExitStack() as stack:
            if url:
                target = Target(url, metrics_url)
            else:
                names = [asked.name for asked in wanted.pipelines]
                target = stack.enter_context(own_server(repository, names, protocol=protocol))
            code = locust(scenario, target, report, seconds=wanted.load.seconds)
    except SmithError as error:
        Console(stderr=True).print(f"error {error}", soft_wrap=True, highlight=False, markup=False)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


run.__doc__ = f"{run.__doc__}\n\nExample: {_EXAMPLE}"


def main() -> None:
    """The command line."""
    typer.run(run)
