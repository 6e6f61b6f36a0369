"""``tritonsmith demo``: the whole road once, from spec to answers over both protocols, then everything is put away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from tritonsmith import Client, Pipeline
from tritonsmith.codec import TASKS

from tritonsmith_build.infer import cells, row_of
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.serve import Say, Wanted, default_log, started

SENTENCES = (
    "A delight from start to finish.",
    "The plot is thin, the jokes are worse.",
    "Not perfect, but I would gladly see it again.",
    "I wanted to like it, and could not.",
)
_ROUNDS = 20


def demo(repository: Path, pipelines: Sequence[str], console: Console, say: Say) -> None:
    """Serve the pipelines on free ports, ask each about the README's sentences over gRPC and HTTP, and stop."""
    ports = Ports.free("127.0.0.1", http=0, grpc=0, metrics=0)
    start = time.perf_counter()
    wanted = Wanted(repository, ports, tuple(pipelines), cache=False, log=default_log(ports))
    with started(wanted, say) as server:
        console.print(f"\nTriton is up after {time.perf_counter() - start:.1f} s\n", highlight=False)
        for name in server.pipelines:
            for url in (ports.grpc_url, ports.http_url):
                console.print(_answers(name, url), "")
    console.print("Triton has stopped.")


def _answers(name: str, url: str) -> Table:
    scheme = url.partition(":")[0]
    with Client(url) as client:
        pipe = client.pipeline(name)
        rows = [row_of(answer, TASKS[pipe.info.task].called) for answer in pipe(SENTENCES)]
        times = [_median_seconds(pipe, text) for text in SENTENCES]
    table = Table("text", *cells(rows[0]), "ms", title=f"{name} over {scheme}", title_justify="left", box=None, pad_edge=False)
    for text, row, seconds in zip(SENTENCES, rows, times, strict=True):
        table.add_row(text, *cells(row).values(), f"{seconds * 1e3:.1f}")
    return table


def _median_seconds(pipe: Pipeline, text: str) -> float:
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        pipe(text)
        taken.append(time.perf_counter() - start)
    return median(taken)
