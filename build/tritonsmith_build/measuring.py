"""How long an engine takes on this machine, and which machine that is."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.runtimes import Run

_ROUNDS = 3


def median_seconds(run: Run, data: Sequence[Arrays]) -> float:
    """The median of some rounds over all batches, after one that warms up."""
    taken = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        for batch in data:
            run(batch)
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def processor() -> str:
    """The CPU's own name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
