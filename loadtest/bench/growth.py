"""Cost as work grows: longer texts, more texts a request, more requests at once, more pipelines on one server."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from tritonsmith import Client, Pipeline, TritonsmithError
from tritonsmith_build.pipelines import FOLDER

from bench import grpc_load
from bench.bodies import write_bodies
from bench.cells import TEXTS
from bench.checking import tokenizer_of
from bench.contenders import name_of
from bench.footprint import memory_mib, processes
from bench.medians import Medians
from bench.places import BODIES, LOGS, ROOT, WORK
from bench.ratios import MANY
from bench.repositories import PIPELINE, Precision, built_from
from bench.results import Growth, Results
from bench.roads import Road
from bench.running import WIDTH_BYTES, in_order
from bench.servers import Live, tritonsmith
from bench.workloads import TextMaker

LENGTHS = (8, 16, 32, 64, 128, 256, 512)
ROWS = (1, 2, 4, 8, 16, 32, 64)
CONCURRENCY = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PIPELINES = (1, 2, 3, 4)
CALLERS = 32
ROUNDS = 3
SECONDS = 1.0
Say = Callable[[str], None]


@dataclass
class _Measuring:
    maker: TextMaker
    say: Say
    points: list[Growth] = field(default_factory=list)

    def texts(self, tokens: int) -> Sequence[str]:
        return self.maker.made(lambda choose: tokens, TEXTS, seed=f"growth {tokens}").texts

    def point(
        self, curve: str, line: str, at: int, round_: int, roads: Sequence[Road], texts: Sequence[str], callers: int
    ) -> None:
        """Load over gRPC, to the roads of one server by turns, after a shorter one that warms up."""
        self.say(f"{curve} {at}, {line}")
        file = BODIES / "growth.bodies"
        write_bodies(file, (road.encode([text]) for road, text in zip(cycle(roads), texts, strict=False)))
        ask = partial(grpc_load.run, roads[0].host, file, concurrency=callers, answer_bytes=WIDTH_BYTES)
        if round_ == 0:
            ask(seconds=SECONDS / 2)
        load = ask(seconds=SECONDS)
        self.points.append(
            Growth(
                curve=curve,
                line=line,
                at=at,
                round=round_,
                texts_per_s=round(load.per_second, 2),
                p50=load.p50,
                p99=load.p99,
                errors=load.errors,
            )
        )


def fastest(results: Results) -> Precision:
    """INT8 or BF16, whichever served more in this run; INT8 where neither was measured."""
    medians = Medians(results)
    choices: tuple[Precision, ...] = ("int8", "bf16")
    return max(choices, key=lambda precision: medians.value(name_of(precision), "grpc", MANY) or 0.0)


def measured(results: Results, repositories: Mapping[Precision, Path], say: Say) -> None:
    """Replace the curves of a run by new ones."""
    precision = fastest(results)
    repository = repositories[precision]
    measuring = _Measuring(TextMaker(tokenizer_of(repository)), say)
    with tritonsmith(repository)(LOGS / "growth.log") as live:
        for number in range(ROUNDS):
            _lengths(measuring, live, number)
            _concurrency(measuring, live, number)
            _rows(measuring, live, number)
    _pipelines(measuring, precision)
    results.growth_server, results.growth = name_of(precision), measuring.points


def _lengths(measuring: _Measuring, live: Live, number: int) -> None:
    for tokens in in_order(LENGTHS, number):
        texts = measuring.texts(tokens)
        for callers in (1, CALLERS):
            measuring.point("length", f"{callers} at once", tokens, number, [live.roads["grpc"]], texts, callers)


def _concurrency(measuring: _Measuring, live: Live, number: int) -> None:
    texts = measuring.texts(20)
    for callers in in_order(CONCURRENCY, number):
        measuring.point("concurrency", "20 tokens", callers, number, [live.roads["grpc"]], texts, callers)


def _rows(measuring: _Measuring, live: Live, number: int) -> None:
    """Through the client, which splits what is more than the model's greatest batch."""
    texts = measuring.texts(20)
    with Client(f"grpc://{live.roads['grpc'].host}") as client:
        pipe = client.pipeline(PIPELINE)
        for rows in in_order(ROWS, number):
            measuring.say(f"rows {rows}")
            measuring.points.append(_called(pipe, texts, rows, number))


def _called(pipe: Pipeline, texts: Sequence[str], rows: int, number: int) -> Growth:
    requests = [list(texts[start : start + rows]) for start in range(0, len(texts), rows)]
    taken, errors, end = list[float](), 0, time.perf_counter() + SECONDS
    pipe(requests[0])
    while (begun := time.perf_counter()) < end:
        try:
            pipe(requests[len(taken) % len(requests)])
        except TritonsmithError:
            errors += 1
        else:
            taken.append(time.perf_counter() - begun)
    p50, p99 = (round(float(value) * 1e3, 3) for value in np.percentile(taken or [0.0], [50, 99]))
    rate = round(rows * len(taken) / sum(taken), 2) if taken else 0.0
    return Growth(curve="rows", line="one caller", at=rows, round=number, texts_per_s=rate, p50=p50, p99=p99, errors=errors)


def _pipelines(measuring: _Measuring, precision: Precision) -> None:
    texts = measuring.texts(20)
    with _four(precision, max(PIPELINES)) as (names, repository):
        for count in PIPELINES:
            some = names[:count]
            measuring.say(f"pipelines {count}: starts")
            with tritonsmith(repository, pipelines=some)(LOGS / "growth-pipelines.log") as live:
                roads = [live.roads["grpc" if name == some[0] else f"grpc {name}"] for name in some]
                for number in range(ROUNDS):
                    measuring.point("pipelines", f"{CALLERS} at once", count, number, roads, texts, CALLERS)
                used = round(memory_mib(processes(live.process.pid, live.mark)), 1)
            for point in measuring.points[-ROUNDS:]:
                point.memory_mib = used


@contextlib.contextmanager
def _four(precision: Precision, count: int) -> Iterator[tuple[list[str], Path]]:
    """The same model under several names, in a repository of its own."""
    folder = WORK / "several"
    shutil.rmtree(folder, ignore_errors=True)
    specs = folder / "pipelines"
    specs.mkdir(parents=True)
    names = [f"{PIPELINE}_{number}" for number in range(1, count + 1)]
    for name in names:
        for ending in (".toml", ".lock.toml"):
            shutil.copyfile(ROOT / FOLDER / f"{PIPELINE}{ending}", specs / f"{name}{ending}")
    try:
        yield names, built_from([specs / f"{name}.toml" for name in names], precision, folder / "models")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
