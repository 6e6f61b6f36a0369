"""``python -m bench``: run, quick, growth, page, compare."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tritonsmith.errors import TritonsmithError
from tritonsmith_build.errors import SmithError

from bench import contenders, machine, results, shown, wrk
from bench.cells import TEXTS, WORKLOADS, Workload
from bench.checking import Sample, reference, tokenizer_of
from bench.contenders import Entry
from bench.places import RESULTS, UNFINISHED
from bench.ratios import ratios
from bench.repositories import PRECISIONS, Precision, built
from bench.results import Results, Settings
from bench.running import Bench
from bench.workloads import LENGTHS, ZIPF_EXPONENT, ZIPF_REQUESTS, ZIPF_TEXTS, TextMaker, Texts, zipf

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
_SAMPLE = 32
_INTERRUPTED = 130
Seconds = Annotated[int, typer.Option(min=1, help="of load a cell")]
Rounds = Annotated[int, typer.Option(min=1, help="how often each server is visited")]
File = Annotated[Path, typer.Argument(help="a run's JSON")]


@app.command()
def run(
    seconds: Seconds = 2,
    rounds: Rounds = 3,
    only: Annotated[list[str] | None, typer.Option(help="servers whose name contains this; may be given again")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run that was interrupted")] = False,
    output: Annotated[Path, typer.Option(help="where the finished run goes")] = RESULTS,
    growth: Annotated[bool, typer.Option(help="measure the cost as work grows, and the client's, too")] = True,
) -> None:
    """Measure ours, the peers and the limit; write the results and the page."""
    wrk.found()
    settings = Settings(seconds=seconds, rounds=rounds, only=tuple(only or ()))
    made = _continued(settings) if resume else None
    repositories = _repositories(PRECISIONS)
    entries = [entry for entry in contenders.all_of_ours(repositories) if contenders.wanted(entry.name, settings.only)]
    peers, failed = contenders.all_peers(settings.only, _say)
    entries += peers
    for server in failed:
        _say(f"{server.name}: {server.problem}")
    made = made or _new(settings, entries)
    known = {server.name for server in made.servers}
    made.servers += [server for server in failed if server.name not in known]
    texts, sample = _texts(repositories["fp32"], (*WORKLOADS, "zipf"), made)
    _measure(made, entries, texts, sample, keep=partial(results.save, file=UNFINISHED))
    if growth:
        _grow(made, repositories)
    results.save(made, output)
    console.print(shown.ratios_table(ratios(made)))
    if output == RESULTS:
        page()


@app.command()
def quick(seconds: Seconds = 2, rounds: Rounds = 2) -> None:
    """Ours at FP32 and INT8, a few cells, beside the limit; fails for a wrong answer or a failed request, not for a time."""
    wrk.found()
    begun = time.monotonic()
    repositories = _repositories(("fp32", "int8"))
    entries = contenders.quick(repositories)
    made = _new(Settings(seconds=seconds, rounds=rounds), entries)
    texts, sample = _texts(repositories["fp32"], ("short",), made)
    _measure(made, entries, texts, sample, settle=False, idle=False)
    console.print(shown.loads_table(made))
    console.print(shown.ratios_table(ratios(made)))
    console.print(
        f"{made.machine['cpu']}, {made.machine['cores']} cores; took {time.monotonic() - begun:.0f} s", highlight=False
    )
    failed = [f"{server.name}: {server.problem}" for server in made.servers if server.problem]
    failed += [f"{row.server}, {row.road}: {row.errors} requests failed" for row in made.loads if row.errors]
    if failed:
        raise SmithError("; ".join(failed))


@app.command("growth")
def measure_growth(output: Annotated[Path, typer.Option(help="the run to add it to")] = RESULTS) -> None:
    """Measure the cost as work grows, and the client's, and put them into the results of a run."""
    wrk.found()
    made = results.load(output)
    _grow(made, _repositories(PRECISIONS))
    results.save(made, output)
    if output == RESULTS:
        page()


@app.command()
def page(source: Annotated[Path, typer.Option(help="a run's JSON")] = RESULTS) -> None:
    """Write docs/benchmarks.md and its pictures from the results and docs/benchmarks/notes.md."""
    from bench.writing import write

    for file in write(results.load(source)):
        _say(f"written: {file}")


@app.command()
def compare(first: File, second: File) -> None:
    """Every ratio of two runs side by side; exit code 1 where one moved by more than 10 %."""
    table, moved = shown.compared(ratios(results.load(first)), ratios(results.load(second)))
    console.print(table)
    if moved:
        raise SmithError(f"{len(moved)} ratios moved by more than 10 %: {'; '.join(moved)}")


def _continued(settings: Settings) -> Results:
    made = results.load(UNFINISHED)
    if made.settings != settings:
        raise SmithError("was run with other settings", where=UNFINISHED, fix=f"give it {made.settings}, or leave out --resume")
    if made.commit != machine.commit():
        raise SmithError(f"measured another commit, {made.commit}", where=UNFINISHED, fix="leave out --resume")
    return made


def _new(settings: Settings, entries: Sequence[Entry]) -> Results:
    return Results(
        settings=settings,
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        commit=machine.commit(),
        begun=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        machine=machine.machine(),
        versions=machine.versions(),
        servers=[entry.server for entry in entries if isinstance(entry, contenders.Contender)],
    )


def _repositories(precisions: Sequence[Precision]) -> dict[Precision, Path]:
    made = {}
    for precision in precisions:
        with console.status(f"building embeddings at {precision}"):
            made[precision] = built(precision)
    return made


def _texts(repository: Path, workloads: Sequence[Workload], made: Results) -> tuple[Mapping[Workload, Sequence[str]], Sample]:
    """The workloads' texts, said in the results too, and the sample that every server's answers are checked with."""
    maker = TextMaker(tokenizer_of(repository))
    found: dict[Workload, Texts] = {
        name: maker.made(LENGTHS[name].draw, TEXTS, seed=name) for name in workloads if name != "zipf"
    }
    made.texts = {name: {"length": LENGTHS[name].about, **texts.about} for name, texts in found.items()}
    texts: dict[Workload, Sequence[str]] = {name: of_name.texts for name, of_name in found.items()}
    if "zipf" in workloads:
        distinct = maker.made(LENGTHS["short"].draw, ZIPF_TEXTS, seed="zipf").texts
        texts["zipf"] = zipf(distinct, ZIPF_REQUESTS, exponent=ZIPF_EXPONENT, seed="zipf")
        made.texts["zipf"] = {"length": LENGTHS["short"].about, "texts": ZIPF_TEXTS, "exponent": ZIPF_EXPONENT}
    sample = maker.made(LENGTHS["mixed"].draw, _SAMPLE, seed="sample").texts
    return texts, reference(repository, sample)


def _measure(
    made: Results,
    entries: Sequence[Entry],
    texts: Mapping[Workload, Sequence[str]],
    sample: Sample,
    *,
    keep: Callable[[Results], None] = lambda made: None,
    settle: bool = True,
    idle: bool = True,
) -> None:
    columns = (
        BarColumn(30),
        TimeElapsedColumn(),
        TextColumn("of about"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        Bench(made, texts, sample, bars, keep, settle=settle, idle=idle).run(entries)


def _grow(made: Results, repositories: Mapping[Precision, Path]) -> None:
    from bench import client_cost, growth

    with console.status("cost as work grows") as status:
        growth.measured(made, repositories, lambda what: status.update(f"cost as work grows: {what}"))
    # Without a spinner, which would take CPU from the process that is measured.
    _say("what calling costs")
    repository = repositories["int8"]
    texts = TextMaker(tokenizer_of(repository)).made(LENGTHS["short"].draw, TEXTS, seed="short").texts
    client_cost.measured(made, repository, texts)


def _say(line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def main() -> int:
    """Run a command; a person's errors are one line and exit code 1."""
    try:
        app()
    except (SmithError, TritonsmithError) as error:
        console.print("[bold red]error[/]", end=" ")
        _say(str(error))
        return 1
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # what typer makes of Ctrl-C
            _say(f"\nstopped; what whole visits measured is in {UNFINISHED}; go on with --resume")
        return stop.code if isinstance(stop.code, int) else 0
    return 0
