"""``python -m faults``: do the drills, show what became of them, and write it down."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import psutil
import typer
from load.serving import serving
from rich.console import Console
from rich.table import Table
from tritonsmith_build.errors import SmithError
from tritonsmith_build.measuring import processor
from tritonsmith_build.server.preflight import SHARED_MEMORY
from tritonsmith_build.server.stubs import stubs_of
from tritonsmith_build.tasks import TASKS
from tritonsmith_steps.cores import cores

from faults.drills import Drill, Outcome, drills, held, triton_of

app = typer.Typer(add_completion=False, help=__doc__)
_BEGIN, _END = "<!-- drills: written by make faults -->", "<!-- end of drills -->"
_TOLD_WITHIN = 1.0
_READY_SECONDS = "0.1"
_MANY = "1000"
_REPOSITORY = Path("model_repository")


@dataclass(frozen=True)
class Line:
    """One drill over all its repeats."""

    drill: Drill
    outcomes: Sequence[Outcome]
    left: int
    """Processes and shared-memory segments that were there when the server had ended."""

    @property
    def holds(self) -> bool:
        """Whether all that must hold did, each time."""
        told = [outcome.not_ready_after for outcome in self.outcomes]
        return (
            all(outcome.answered_after <= self.drill.within and outcome.wrong == 0 for outcome in self.outcomes)
            and all(after is not None and after <= _TOLD_WITHIN for after in told)
            and self.left == 0
        )

    def cells(self) -> list[str]:
        """For a table."""
        answered = [outcome.answered_after for outcome in self.outcomes]
        told = [outcome.not_ready_after for outcome in self.outcomes]
        return [
            self.drill.name,
            f"{statistics.median(answered):.2f} s",
            f"{max(answered):.2f} s",
            f"{self.drill.within:g} s",
            "never" if None in told else f"{max(after for after in told if after is not None):.2f} s",
            f"{statistics.median(outcome.failed for outcome in self.outcomes):.0f}",
            str(sum(outcome.wrong for outcome in self.outcomes)),
            str(self.left),
            "holds" if self.holds else "**broken**",
        ]


HEADER = ["fault", "answers again, median", "worst", "limit", "not ready after", "failed", "wrong", "left behind", ""]


@app.command()
def run(
    pipeline: Annotated[str, typer.Option(help="a built pipeline of single texts")] = "sentiment",
    repeats: Annotated[int, typer.Option(min=1, help="of each fault")] = 10,
    clients: Annotated[int, typer.Option(min=1, help="that ask meanwhile, one request at a time")] = 32,
    only: Annotated[str, typer.Option(help="drills with this in their names")] = "",
    repository: Annotated[Path, typer.Option(help="what to serve")] = _REPOSITORY,
    cache: Annotated[bool, typer.Option(help="let Triton answer repeated texts from memory")] = False,
    document: Annotated[Path | None, typer.Option(help="write the table there, between its two marks")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print every outcome as JSON")] = False,
) -> None:
    """Do each fault to a server under load, on this machine; exit with 1 where a limit is broken.

    Example: python -m faults --repeats 3 --only Triton
    """
    console = Console(stderr=as_json)
    task = TASKS["text-classification"]
    wanted = [drill for drill in drills(pipeline, [task.modality.step, "engine", task.step]) if only in drill.name]
    lines = [_repeated(drill, repository, pipeline, repeats, clients, console, cache=cache) for drill in wanted]
    if as_json:
        print(json.dumps([asdict(outcome) for line in lines for outcome in line.outcomes], indent=2))  # noqa: T201
    else:
        table = Table(*HEADER, box=None)
        for line in lines:
            table.add_row(*line.cells())
        console.print(table)
    if document:
        _write(document, lines, repeats, clients, cache=cache)
    raise typer.Exit(0 if lines and all(line.holds for line in lines) else 1)


def _repeated(
    drill: Drill, repository: Path, pipeline: str, repeats: int, clients: int, console: Console, *, cache: bool
) -> Line:
    outcomes = []
    options = [f"--restarts={_MANY}", *([] if cache else ["--no-cache"])]
    with console.status(drill.name) as shown, serving(repository, [pipeline], *options) as server:
        for number in range(repeats):
            shown.update(f"{drill.name}: {number + 1} of {repeats}")
            outcomes.append(held(drill, server, pipeline, clients=clients))
        segments = {stub.segments for stub in stubs_of(triton_of(server))}
        processes = psutil.Process(server.process.pid).children(recursive=True)
    left = sum(map(_lives, processes))
    left += sum(path.name.startswith(tuple(segments)) for path in SHARED_MEMORY.iterdir())
    return Line(drill, outcomes, left)


def _lives(process: psutil.Process) -> bool:
    """One that is dead and that nobody has asked after does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _write(document: Path, lines: Sequence[Line], repeats: int, clients: int, *, cache: bool) -> None:
    text = document.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise SmithError(f"has not the lines {_BEGIN} and {_END}", where=document)
    head, tail = text.partition(_BEGIN)[0], text.partition(_END)[2]
    rows = [HEADER, ["---"] * len(HEADER), *(line.cells() for line in lines)]
    about = _about(repeats, clients, cache=cache)
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    document.write_text(f"{head}{_BEGIN}\n\n{about}\n\n{table}\n\n{_END}{tail}", encoding="utf-8")


def _about(repeats: int, clients: int, *, cache: bool) -> str:
    load = f"{repeats} times each under {clients} clients over gRPC, each with one request at a time"
    server = f"the response cache {'on' if cache else 'off'}"
    host = f"{processor()}, {cores()} cores; Triton of nvidia-pytriton {metadata.version('nvidia-pytriton')}"
    return f"{load}, {server}. {host}."


def main() -> None:
    """The command line."""
    try:
        app()
    except SmithError as error:
        Console(stderr=True).print(f"error {error}", soft_wrap=True, highlight=False, markup=False)
        raise SystemExit(2) from None
