"""The command line. It needs only the base install; each command imports what it works with."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from tritonsmith import TritonsmithError
from tritonsmith.client import DEFAULT_URL

from tritonsmith_build.errors import SmithError
from tritonsmith_build.extras import extra_of, install_command, need
from tritonsmith_build.server.keys import ADMIN_KEY

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From a Hugging Face model to a proved, batched Triton ensemble.",
)
console = Console()
error_console = Console(stderr=True)

Names = Annotated[list[str], typer.Argument(metavar="PIPELINE…", help="a name under pipelines/, or the path of a TOML file")]
Repository = Annotated[Path, typer.Option(help="the Triton model repository")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for machines")]
Deployed = Annotated[Path, typer.Option(help="the folder that the server serves, made by tritonsmith deploy")]
KeyFile = Annotated[Path, typer.Option(help="with the server's key for loading and unloading")]
Url = Annotated[str, typer.Option(help="grpc://, grpcs://, http:// or https://")]
REPOSITORY = Path("model_repository")
DEPLOYED = Path("deployed")
GPU_REPOSITORY = Path(".tritonsmith/gpu_repository")
TargetName = Literal["cpu", "onnxruntime", "tensorrt"]
_INTERRUPTED = 130


@app.command()
def build(
    pipelines: Names,
    target: Annotated[TargetName, typer.Option(help="where the engine will run")] = "cpu",
    precision: Annotated[Literal["fp32", "fp16", "bf16", "int8"] | None, typer.Option(help="instead of the spec's")] = None,
    repository: Repository = REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Turn models into a proved repository.

    Example: `tritonsmith build sentiment embeddings --precision int8`
    """
    need("build")
    from tritonsmith_build.build_joined import build as build_one
    from tritonsmith_build.pipelines import specs_named
    from tritonsmith_build.progress import Progress
    from tritonsmith_build.stagecache import StageCache

    progress = Progress(error_console if as_json else console)
    manifests = [
        build_one(
            spec,
            repository=repository,
            cache=StageCache.default(),
            progress=progress,
            precision=precision,
            target=target,
        )
        for spec in specs_named(pipelines)
    ]
    if as_json:
        _print_json([{**built.manifest, "written": list(built.changed)} for built in manifests])


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List what a pipeline can be for, and what a caller may say.

    Example: `tritonsmith tasks`
    """
    from tritonsmith_build.task_list import listed, table

    if as_json:
        _print_json(listed())
    else:
        console.print(table())


@app.command()
def new(
    model: Annotated[str, typer.Argument(help="a folder that save_pretrained wrote, or owner/name on the hub")],
    task: Annotated[str | None, typer.Option(help="what it is for [default: guessed from the model]")] = None,
    name: Annotated[str | None, typer.Option(help="the pipeline's [default: the model's]")] = None,
    revision: Annotated[str | None, typer.Option(help="of a model on the hub [default: the newest, by its hash]")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the spec of a model into pipelines/, and say what was set and why.

    Example: `tritonsmith new ../my-model --name reviews`
    """
    need("build")
    from rich.table import Table

    from tritonsmith_build.new import new as write
    from tritonsmith_build.pipelines import FOLDER

    made = write(model, task=task, name=name, revision=revision, pipelines=FOLDER)
    if as_json:
        _print_json(made.as_dict())
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("key", "value", "why"):
        table.add_column(title, overflow="fold")
    for setting in made.settings:
        table.add_row(setting.key, setting.value, setting.why)
    console.print(table)
    console.print(f"\n{made.file} written; next: tritonsmith build {made.file.stem}", highlight=False)


@app.command()
def render(
    pipelines: Annotated[
        list[str] | None, typer.Argument(metavar="[PIPELINE…]", help="all of pipelines/ where none is named")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="write nothing; fail where the text is stale")] = False,
    repository: Repository = REPOSITORY,
) -> None:
    """Write the repository's configuration text from specs and lock files.

    Example: `tritonsmith render --check`
    """
    from tritonsmith_build.committed import committed
    from tritonsmith_build.pipelines import specs_named
    from tritonsmith_build.repository import place_files, stale

    files = {path: text for spec in specs_named(pipelines or []) for path, text in committed(spec).items()}
    changed = stale(repository, files)
    if check and changed:
        raise SmithError(f"stale: {', '.join(changed)}", where=repository, fix="run: tritonsmith render")
    if not check:
        place_files({repository / path: files[path] for path in changed})
    console.print(
        f"{len(files)} files in {repository}, {len(changed)} written" if not check else f"{len(files)} files are as rendered"
    )


@app.command("precision")
def measure_precision(
    pipelines: Names,
    output: Annotated[Path | None, typer.Option(help="write the page to this file instead of the terminal")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what each precision of each target keeps and costs.

    Example: `tritonsmith precision sentiment embeddings --output docs/precision.md`
    """
    need("build")
    from tritonsmith_build.committed import parts_of
    from tritonsmith_build.pipelines import specs_named
    from tritonsmith_build.precision_report import as_dicts, measure, page
    from tritonsmith_build.progress import Progress
    from tritonsmith_build.stagecache import StageCache

    progress = Progress(error_console)
    parts = [part for spec in specs_named(pipelines) for part in parts_of(spec)]
    lines = list(measure(parts, cache=StageCache.default(), progress=progress))
    if as_json:
        _print_json(as_dicts(lines))
        return
    text = page(lines, shlex.join(["tritonsmith", *sys.argv[1:]]))
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


@app.command("gpu-report")
def report_gpu(
    pipelines: Names,
    output: Annotated[Path, typer.Option(help="the folder for gpu-report.md and gpu-report.json")] = Path("docs"),
    repository: Annotated[Path, typer.Option(help="where the plans are built and served from")] = GPU_REPOSITORY,
) -> None:
    """Build, prove, verify and measure FP16 and INT8 plans on this machine's GPU; serve them too inside Triton's image.

    Example: `tritonsmith gpu-report sentiment embeddings`
    """
    need("build")
    from tritonsmith_build.committed import parts_of
    from tritonsmith_build.gpu.host import NO_GPU, gpu_host
    from tritonsmith_build.pipelines import specs_named
    from tritonsmith_build.server.plans import gpus

    if not gpus():
        console.print(NO_GPU)
        return
    host = gpu_host()
    from tritonsmith_build.gpu.report import measured
    from tritonsmith_build.progress import Progress
    from tritonsmith_build.stagecache import StageCache

    parts = [part for spec in specs_named(pipelines) for part in parts_of(spec)]
    report = measured(parts, host, repository, cache=StageCache.default(), progress=Progress(console))
    report.write(output, shlex.join(["tritonsmith", *sys.argv[1:]]))
    console.print(f"written: {output / 'gpu-report.md'}", highlight=False, soft_wrap=True)
    if report.failed:
        raise typer.Exit(1)


@app.command()
def lint(
    repository: Annotated[Path, typer.Argument(help="any Triton model repository")] = REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Say what would fail or hurt in a model repository, with file, field and fix; exit code 1 for an error.

    Example: `tritonsmith lint model_repository`
    """
    from tritonsmith_build.lint import as_dicts, exit_code, lint_repository

    findings = lint_repository(repository)
    if as_json:
        _print_json(as_dicts(findings))
    else:
        colours = {"error": "red", "warning": "yellow", "note": "dim"}
        for finding in findings:
            console.print(f"[{colours[finding.level]}]{finding.level:<7}[/] {finding.rule}:", end=" ", highlight=False)
            console.print(str(finding), highlight=False, soft_wrap=True, markup=False)
        counts = ", ".join(f"{sum(f.level == level for f in findings)} {level}s" for level in colours)
        console.print(f"{repository}: {counts}", highlight=False)
    raise typer.Exit(exit_code(findings))


@app.command()
def serve(
    repository: Repository = REPOSITORY,
    target: Annotated[TargetName, typer.Option(help="which of its engines to serve")] = "cpu",
    pipelines: Annotated[str, typer.Option(help="names with commas between; all that are built where left out")] = "",
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="0 takes a free one")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="0 takes a free one")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="0 takes a free one")] = 8002,
    health_port: Annotated[int, typer.Option(help="/healthz, /readyz and /metrics of the supervisor")] = 8003,
    cache: Annotated[bool, typer.Option(help="answer repeated inputs from memory")] = True,
    log: Annotated[Path | None, typer.Option(help="Triton's own log [default: .tritonsmith/triton-PORT.log]")] = None,
    canary_every: Annotated[float, typer.Option(min=0.1, help="seconds between two questions to each pipeline")] = 5.0,
    canary_timeout: Annotated[float, typer.Option(min=0.1, help="seconds for one of its answers")] = 10.0,
    admin_key_file: Annotated[
        Path, typer.Option(help="with the key for loading, unloading and sharing memory; made if missing")
    ] = ADMIN_KEY,
    watch: Annotated[bool, typer.Option(help="count lengths, labels and the like of what passes, and drift")] = True,
    heal: Annotated[bool, typer.Option(help="mend what is found broken, or only tell")] = True,
    restarts: Annotated[int, typer.Option(min=0, help="of Triton within ten minutes, before giving up")] = 5,
    tls_cert: Annotated[Path | None, typer.Option(help="encrypts gRPC: the server's certificate, PEM")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="the certificate's key, PEM, which others may not read")] = None,
    otlp: Annotated[str | None, typer.Option(help="a collector for traces, OTLP over HTTP: http://HOST:4318")] = None,
    otlp_every: Annotated[int, typer.Option(min=1, help="one of so many requests is traced")] = 100,
    request_log: Annotated[bool, typer.Option(help="a line of JSON about requests, beside Triton's own log")] = True,
    request_log_every: Annotated[int, typer.Option(min=1, help="for one of so many, and for each that fails")] = 100,
    as_json: AsJson = False,
) -> None:
    """Run Triton until SIGTERM or Ctrl-C, and mend what breaks meanwhile.

    Example: `tritonsmith serve --pipelines sentiment --http-port 0 --grpc-port 0 --metrics-port 0 --health-port 0`
    """
    from tritonsmith_build.server.events import to_file
    from tritonsmith_build.server.journal import Lines, to_files
    from tritonsmith_build.server.ladder import Limits
    from tritonsmith_build.server.otlp import otlp_to
    from tritonsmith_build.server.ports import Ports
    from tritonsmith_build.server.serve import Wanted, default_log, events_beside, requests_beside
    from tritonsmith_build.server.serve import serve as run
    from tritonsmith_build.server.supervisor import Rules
    from tritonsmith_build.server.tls import tls_of

    tls, traces = tls_of(tls_cert, tls_key), otlp_to(otlp, otlp_every)
    ports = Ports.free(host, http=http_port, grpc=grpc_port, metrics=metrics_port, health=health_port, tls=tls is not None)
    names = tuple(name.strip() for name in pipelines.split(",") if name.strip())
    log = log or default_log(ports)
    rules = Rules(every=canary_every, timeout=canary_timeout, limits=Limits(restarts=restarts), heal=heal)
    say = _sayer(error_console if as_json else console)
    lines = Lines(to_files(requests_beside(log)), request_log_every) if request_log else None
    wanted = Wanted(repository, ports, names, target, cache, log, rules, admin_key_file, tls, watch, traces, lines)
    run(wanted, say, to_file(events_beside(log), say), as_json=as_json)


@app.command()
def health(
    url: Annotated[str, typer.Option(help="the supervisor's address, or Triton's over HTTP")] = "http://127.0.0.1:8003",
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for an answer")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Whether every served pipeline answers; exit code 1 where one does not.

    Triton's own ready lies while a step is dead. Example: `tritonsmith health --url http://127.0.0.1:8003`
    """
    from tritonsmith_build.server.health import check

    asked = check(url.rstrip("/"), timeout=timeout)
    if as_json:
        _print_json({name: trouble or "answers" for name, trouble in asked.items()})
    else:
        for name, trouble in asked.items():
            console.print(f"{name}: {trouble or 'answers'}", highlight=False, soft_wrap=True)
    if any(asked.values()):
        raise typer.Exit(1)


@app.command()
def pack(
    pipelines: Annotated[list[str], typer.Argument(metavar="PIPELINE…", help="names of built pipelines")],
    output: Annotated[Path | None, typer.Option(help="the archive [default: PIPELINE.tar.gz]")] = None,
    target: Annotated[TargetName | None, typer.Option(help="this target's engine alone, else all that are built")] = None,
    repository: Repository = REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Put built pipelines into one archive with the hash of every file: the road to production.

    Example: `tritonsmith pack sentiment --target tensorrt --output sentiment.tar.gz`
    """
    from tritonsmith_build.pack import pack as run

    packed = run(repository, pipelines, output or Path(f"{'-'.join(pipelines)}.tar.gz"), target=target)
    if as_json:
        _print_json(packed)
    else:
        size = f"{packed['bytes'] / 1e6:.0f} MB, {packed['files']} files"
        console.print(f"{packed['archive']}: {size}, sha256 {packed['sha256']}", highlight=False, soft_wrap=True)


@app.command()
def deploy(
    pipelines: Annotated[
        list[str] | None, typer.Argument(metavar="[PIPELINE…]", help="all that are built where none is named")
    ] = None,
    source: Annotated[Path, typer.Option("--from", help="the built repository")] = REPOSITORY,
    to: Annotated[Path, typer.Option(help="the folder that the server reads")] = DEPLOYED,
    as_json: AsJson = False,
) -> None:
    """Copy built pipelines to where a server reads them and upgrades write; the built repository stays as it is.

    Example: `tritonsmith deploy sentiment --from model_repository --to deployed`
    """
    from dataclasses import asdict

    from tritonsmith_build.deployment.deploy import deploy as run

    outcomes = run(source, pipelines or [], to)
    if as_json:
        _print_json([asdict(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        said = "deployed as" if outcome.new else "is there already,"
        console.print(f"{outcome.pipeline} {said} version {outcome.version} in {to}", highlight=False, soft_wrap=True)


@app.command()
def upgrade(
    pipeline: Annotated[str, typer.Argument(help="the deployed pipeline's name")],
    source: Annotated[Path, typer.Option("--from", help="the repository with the new build")] = REPOSITORY,
    deployed: Deployed = DEPLOYED,
    url: Url = DEFAULT_URL,
    admin_key_file: KeyFile = ADMIN_KEY,
    min_agreement: Annotated[float, typer.Option(min=0, max=1, help="share of items answered as before")] = 0.98,
    max_slowdown: Annotated[float, typer.Option(min=0, help="times the old version's p50")] = 1.5,
    items: Annotated[int, typer.Option(min=1, help="how many both versions are asked")] = 200,
    data: Annotated[Path | None, typer.Option(help="a text or JSON a line, or a folder of files [default: own]")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value, any that the task takes; the value as JSON")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a new build in place of what a running server answers with, no request lost; a worse one is refused.

    Example: `tritonsmith upgrade sentiment --from model_repository --deployed deployed --url grpc://localhost:8001`
    """
    from tritonsmith_build.deployment.shadow import Limits, WorseError
    from tritonsmith_build.deployment.shown import show_comparison, show_moved
    from tritonsmith_build.deployment.upgrade import Server, Trial
    from tritonsmith_build.deployment.upgrade import upgrade as run
    from tritonsmith_build.infer import options_from

    shown = error_console if as_json else console
    trial = Trial(Limits(min_agreement, max_slowdown), items, data, options_from(option or []))
    try:
        moved = run(pipeline, source, deployed, Server(url, admin_key_file), trial, _sayer(error_console))
    except WorseError as error:
        show_comparison(error.comparison, shown)
        raise
    if as_json:
        _print_json(moved.as_dict())
        return
    if moved.comparison:
        show_comparison(moved.comparison, console)
    show_moved(moved, console)


@app.command()
def rollback(
    pipeline: Annotated[str, typer.Argument(help="the deployed pipeline's name")],
    deployed: Deployed = DEPLOYED,
    url: Url = DEFAULT_URL,
    admin_key_file: KeyFile = ADMIN_KEY,
    as_json: AsJson = False,
) -> None:
    """Go back to the version before the last upgrade, on a running server, no request lost.

    Example: `tritonsmith rollback sentiment --deployed deployed --url grpc://localhost:8001`
    """
    from tritonsmith_build.deployment.shown import show_moved
    from tritonsmith_build.deployment.upgrade import Server
    from tritonsmith_build.deployment.upgrade import rollback as run

    moved = run(pipeline, deployed, Server(url, admin_key_file), _sayer(error_console))
    if as_json:
        _print_json(moved.as_dict())
    else:
        show_moved(moved, console)


@app.command()
def demo(pipelines: Names, repository: Repository = REPOSITORY) -> None:
    """Build, serve on free ports, ask over gRPC and HTTP, stop.

    Example: `tritonsmith demo sentiment`
    """
    from tritonsmith_build.demo import demo as run
    from tritonsmith_build.pipelines import specs_named

    names = [spec.name for spec in specs_named(pipelines)]
    build(pipelines, repository=repository)
    run(repository, names, console, _sayer(console))


@app.command()
def infer(
    pipeline: Annotated[str, typer.Argument(help="the served pipeline's name")],
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT…", help="texts or files; - reads one a line from standard input"),
    ],
    url: Annotated[str, typer.Option(help="grpc://, grpcs://, http:// or https://")] = DEFAULT_URL,
    top_k: Annotated[int | None, typer.Option(help="how many answers to show, where the task gives several")] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value, any that the task takes; the value as JSON")] = None,
    timeout: Annotated[float, typer.Option(help="seconds to wait for an answer")] = 30.0,
    save: Annotated[Path | None, typer.Option(help="a folder for the images with boxes or masks drawn over them")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line")] = False,
) -> None:
    """Ask a running server.

    Example: `tritonsmith infer sentiment "A delight from start to finish" --url grpc://localhost:8001`

    Of images: `tritonsmith infer detector street.jpg --save found`

    A task that asks more than a text takes JSON: `tritonsmith infer answers '{"question": "Who?", "context": "It was Ada."}'`
    """
    from tritonsmith_build.infer import infer as run
    from tritonsmith_build.infer import options_from

    options = options_from(option or []) | ({} if top_k is None else {"top_k": top_k})
    run(pipeline, texts, url=url, timeout=timeout, options=options, as_json=as_json, console=console, save=save)


@app.command()
def profile(
    pipeline: Annotated[str, typer.Argument(help="the served pipeline's name")],
    url: Annotated[str, typer.Option(help="grpc://, grpcs://, http:// or https://")] = DEFAULT_URL,
    concurrency: Annotated[str, typer.Option(help="requests in flight, one level after another")] = "1,2,4,8,16,32",
    seconds: Annotated[float, typer.Option(min=0.1, help="counted at each level, after a short warm-up")] = 3.0,
    data: Annotated[Path | None, typer.Option(help="a text a line, or a folder of files, sent in turn [default: own]")] = None,
    batch: Annotated[int, typer.Option(min=1, help="texts, images or recordings a request")] = 1,
    plot: Annotated[Path | None, typer.Option(help="draw it into this PNG file")] = None,
    as_json: AsJson = False,
) -> None:
    """Sweep a running server: throughput and latency, where the time goes, the step that limits, and the knob to turn.

    Example: `tritonsmith profile sentiment --url grpc://localhost:8001 --plot profile.png`
    """
    if plot:
        need("loadtest", "matplotlib")
    from tritonsmith_build.profiling import sweep
    from tritonsmith_build.progress import Progress

    plan = sweep.Plan(pipeline, url, sweep.concurrencies(concurrency), seconds, batch, data)
    profiled = sweep.profile(plan, Progress(error_console))
    if as_json:
        _print_json(profiled.as_dict())
    else:
        from tritonsmith_build.profiling.table import show

        show(profiled, console)
    if plot:
        from tritonsmith_build.profiling.plot import draw

        draw(profiled, plot)


@app.command()
def top(
    url: Annotated[str, typer.Option(help="the metrics page, whose port `serve` prints")] = "http://127.0.0.1:8002/metrics",
    every: Annotated[float, typer.Option(min=0.1, help="seconds between two looks")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="show one table and end")] = False,
    save: Annotated[Path | None, typer.Option(help="and keep it as this SVG picture; with --once")] = None,
    as_json: AsJson = False,
) -> None:
    """What a running server does at the moment: rates, latency, queues, errors, batches, the cache and drift of each pipeline.

    Example: `tritonsmith top --url http://127.0.0.1:8002/metrics`
    """
    from tritonsmith_build.top import page, shown

    looked = shown.looks(lambda: page.fetched(url), every)
    if save or once:
        looked = iter([next(looked)])
    try:
        if as_json:
            for found in looked:
                console.file.write(json.dumps([row.as_dict() for row in found]) + "\n")
                console.file.flush()
        elif once or save:
            (found,) = looked
            console.print(shown.table(found))
            if save:
                shown.saved(found, save, f"tritonsmith top --url {url}")
        else:
            shown.live(looked, console)
    except KeyboardInterrupt:  # how it ends
        return


@app.command()
def evaluate(
    pipeline: Annotated[str, typer.Argument(help="a served pipeline of text-classification")],
    labelled: Annotated[Path, typer.Argument(help=".tsv or .csv with the columns text and label")],
    url: Annotated[str, typer.Option(help="grpc://, grpcs://, http:// or https://")] = DEFAULT_URL,
    repository: Repository = REPOSITORY,
    target: Annotated[TargetName, typer.Option(help="whose build to compare with")] = "cpu",
    push: Annotated[str | None, typer.Option(help="a Pushgateway's address, which keeps the figures for Prometheus")] = None,
    as_json: AsJson = False,
) -> None:
    """How often a served pipeline is right now, on texts whose labels came in later, beside its build's own figure.

    Exit code 1 where it is worse and chance does not explain it. Example: `tritonsmith evaluate sentiment last-week.csv --push http://localhost:9091`
    """
    from tritonsmith_build import evaluate as evaluating

    found = evaluating.evaluate(pipeline, labelled, url=url, repository=repository, target=target)
    if push:
        evaluating.push(found, push)
    if as_json:
        _print_json(found.as_dict())
    else:
        evaluating.show(found, console)
    if found.worse:
        raise typer.Exit(1)


@app.command()
def finetune(
    pipeline: Annotated[str, typer.Argument(help="a name under pipelines/, or the path of a TOML file")],
    train: Annotated[Path, typer.Option(help="TSV or CSV with the columns text (or sentence) and label")],
    dev: Annotated[Path, typer.Option(help="the same, held out to measure on")],
    about: Annotated[str, typer.Option(help="a sentence on the data, for the adapter's card")] = "",
    output: Annotated[Path | None, typer.Option(help="instead of the spec's source.adapter")] = None,
    epochs: Annotated[float, typer.Option(min=0.001)] = 2.0,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(help="the peak")] = 6e-4,
    rank: Annotated[int, typer.Option(min=1, help="of the LoRA matrices")] = 16,
    seed: Annotated[int, typer.Option()] = 0,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a spec's adapter on labelled text.

    Example: `tritonsmith finetune sentiment --train train.tsv --dev dev.tsv`
    """
    need("build")
    from dataclasses import asdict

    from tritonsmith_build.finetune import FinetuneSettings
    from tritonsmith_build.finetuning import Data, finetune_for
    from tritonsmith_build.pipelines import specs_named
    from tritonsmith_build.tables import TextSpec

    (spec,) = specs_named([pipeline])
    wished = spec.input.max_length if isinstance(spec, TextSpec) else None
    settings = FinetuneSettings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        rank=rank,
        seed=seed,
        max_length=wished or FinetuneSettings.max_length,
    )
    shown = error_console if as_json else console
    data = Data(train, dev, about)
    result = finetune_for(spec, data, output=output, settings=settings, command=_command(data, output), console=shown)
    if as_json:
        _print_json(asdict(result))
        return
    for name, row in result.accuracy.items():
        console.print(f"accuracy on {name:<7} {row.accuracy:.4f} of {row.examples} texts", highlight=False)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what is missing and the command that adds it.

    Example: `tritonsmith doctor`
    """
    from dataclasses import asdict

    from tritonsmith_build.doctor import examine

    findings = examine()
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        table = Table("", "", "found", "to do", box=None, pad_edge=False)
        marks = {"ok": "[green]ok[/]", "missing": "[red]missing[/]", "absent": "[dim]none[/]"}
        for finding in findings:
            table.add_row(
                marks[finding.state], finding.what.replace("[", r"\["), finding.found, finding.fix.replace("[", r"\[")
            )
        console.print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def _command(data: Any, output: Path | None) -> str:
    """The command as it was typed, data files by their names alone: the card goes where those paths mean nothing."""
    names = {str(file): file.name for file in (data.train, data.dev)} | ({str(output): "FOLDER"} if output else {})
    about = {data.about: "…"} if data.about else {}
    return shlex.join(["tritonsmith", *((names | about).get(word, word) for word in sys.argv[1:])])


def _sayer(shown: Console) -> Callable[[str], None]:
    return partial(shown.print, highlight=False, soft_wrap=True, markup=False)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    """Run a command; a person's errors are one line and exit code 1, never a traceback."""
    try:
        app()
    except (SmithError, TritonsmithError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}")
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            raise
        _fail(f"{error.name} is not installed; run: {install_command(extra)}")
    except SystemExit as error:
        if error.code == _INTERRUPTED:  # what typer makes of Ctrl-C
            error_console.print("\nstopped; what stood before is untouched")
        raise


def _fail(message: str) -> NoReturn:
    error_console.print("[bold red]error[/]", end=" ")
    error_console.print(message, highlight=False, soft_wrap=True, markup=False)
    sys.exit(1)
