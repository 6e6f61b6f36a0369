"""A pipeline served by Triton and asked by many callers at once: what a client sees of an engine."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tritonsmith import Client, Pipeline, TritonsmithError

from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.serve import Wanted, default_log, started

CALLERS = (1, 8, 64)
_SECONDS = 5.0
_TEXT = "A delight from start to finish, said caller {caller} for the time number {number}."


def measure_serving(repository: Path, pipeline: str, *, target: str = "tensorrt", seconds: float = _SECONDS) -> dict[str, Any]:
    """Throughput and latency at each of ``CALLERS``. Raises SmithError where this machine's Triton cannot serve the target."""
    ports = Ports.free("127.0.0.1", http=0, grpc=0, metrics=0)
    wanted = Wanted(repository, ports, (pipeline,), target, cache=False, log=default_log(ports))
    with started(wanted, lambda line: None) as server, Client(server.ports.grpc_url) as client:
        pipe = client.pipeline(pipeline)
        _asked(pipe, callers=8, seconds=1.0)  # warms up
        return {"callers": [_asked(pipe, callers=callers, seconds=seconds) for callers in CALLERS]}


def _asked(pipe: Pipeline, *, callers: int, seconds: float) -> dict[str, Any]:
    start = time.perf_counter()

    def call(caller: int) -> tuple[list[float], int]:
        taken: list[float] = []
        errors = 0
        while (begun := time.perf_counter()) < start + seconds:
            try:
                pipe(_TEXT.format(caller=caller, number=len(taken) + errors))
            except TritonsmithError:
                errors += 1
            else:
                taken.append(time.perf_counter() - begun)
        return taken, errors

    with ThreadPoolExecutor(callers) as pool:
        results = list(pool.map(call, range(callers)))
    elapsed = time.perf_counter() - start
    times = np.array([seconds for taken, _ in results for seconds in taken] or [float("nan")])
    median, p99 = np.percentile(times, [50, 99]) * 1e3
    return {
        "callers": callers,
        "items_per_s": round(sum(len(taken) for taken, _ in results) / elapsed, 1),
        "median_ms": round(float(median), 3),
        "p99_ms": round(float(p99), 3),
        "errors": sum(errors for _, errors in results),
    }
