"""The limit: tokenizing and the engine in one process, as the served steps do both, with no server around them.

Run as a program with a job as JSON on standard input; it prints what it measured as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from tritonsmith_build.errors import SmithError
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.engine import CpuEngine
from tritonsmith_steps.tokenize import Tokenize

from bench.repositories import Steps
from bench.workloads import in_batches

BATCHES = (1, 4, 8, 16, 32)
Answer = Callable[[Sequence[str]], None]


def run(repository: Path, texts: Mapping[str, Sequence[str]], *, seconds: float) -> list[dict[str, Any]]:
    """A row a workload and batch size, measured in a fresh process."""
    job = {"repository": str(repository), "texts": texts, "seconds": seconds}
    # As the server starts its steps: one thread tokenizes.
    done = subprocess.run(
        [sys.executable, "-m", "bench.limit"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        check=False,
    )
    if done.returncode:
        raise SmithError(f"cannot be measured in process: {done.stderr.strip()[-300:]}", where=repository)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def pipeline(steps: Steps) -> Answer:
    """The tokenizing step and the engine step, one after the other."""

    def count(name: str, amount: int) -> None:
        pass

    tokenize = Tokenize.load(steps.tokenize, {"padding": "longest"}, count)
    engine = CpuEngine.load(steps.engine, {"artefact": steps.artefact}, count)

    def answered(texts: Sequence[str]) -> None:
        column = np.array([[text.encode()] for text in texts], dtype=np.object_)
        (tokens,) = tokenize([{"TEXT": column}])
        (result,) = engine([_good(tokens)])
        _good(result)

    return answered


def _good(result: Arrays | ValueError) -> Arrays:
    if isinstance(result, ValueError):
        raise result
    return result


def measured(answer: Answer, texts: Sequence[str], rows: int, seconds: float) -> dict[str, Any]:
    """Batches of texts in their order, over and over, after one round that warms up."""
    requests = in_batches(texts, rows)
    for request in requests[: max(1, 64 // rows)]:
        answer(request)
    taken, start = list[float](), time.perf_counter()
    for request in cycle(requests):
        begun = time.perf_counter()
        answer(request)
        now = time.perf_counter()
        taken.append(now - begun)
        if now - start >= seconds:
            break
    p50, p99 = (round(float(value) * 1e3, 3) for value in np.percentile(taken, [50, 99]))
    return {"rows": rows, "texts_per_s": round(rows * len(taken) / sum(taken), 1), "p50": p50, "p99": p99}


def main() -> None:
    """One job from standard input."""
    job = json.load(sys.stdin)
    answer = pipeline(Steps.of(Path(job["repository"])))
    rows = [
        {"workload": workload, **measured(answer, texts, size, job["seconds"])}
        for workload, texts in job["texts"].items()
        for size in BATCHES
    ]
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
