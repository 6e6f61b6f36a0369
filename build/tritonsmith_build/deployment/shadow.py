"""Two versions asked the same, out of callers' sight: how often they agree, and how long each takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from tritonsmith import Client, Pipeline
from tritonsmith.codec import TASKS, ModelInfo

from tritonsmith_build.deployment.agreement import alike
from tritonsmith_build.errors import SmithError

_WARM = 8
"""Items that each version is asked before any is counted."""
_AT_ONCE = 4


@dataclass(frozen=True)
class Latency:
    """Of one item a request, in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Comparison:
    """What was found."""

    items: int
    agreement: float
    """Share of the items."""
    old: Latency
    new: Latency

    @property
    def slowdown(self) -> float:
        """How many times the old version's median the new one's is."""
        return self.new.p50 / self.old.p50


@dataclass(frozen=True)
class Limits:
    """What a new version must keep."""

    min_agreement: float
    max_slowdown: float


class WorseError(SmithError):
    """The new version is refused."""

    def __init__(self, what: str, comparison: Comparison, *, where: object, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.comparison = comparison


def compare(client: Client, old: ModelInfo, new: ModelInfo, items: Sequence[Any], options: Mapping[str, Any]) -> Comparison:
    """Ask both every item, one a request and a few at once, which of the two first by turns. Raises the client's errors."""
    pipes = [Pipeline(client, info) for info in (old, new)]

    def asked(pipe: Pipeline, item: Any) -> tuple[Any, float]:
        start = time.perf_counter()
        answers = pipe([item], **options)
        milliseconds = 1000 * (time.perf_counter() - start)
        return answers if TASKS[pipe.info.task].unwraps_one else answers[0], milliseconds

    def both(number: int, item: Any) -> tuple[bool, float, float]:
        order = (0, 1) if number % 2 else (1, 0)
        found = {index: asked(pipes[index], item) for index in order}
        return alike(old.task)(found[0][0], found[1][0]), found[0][1], found[1][1]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(both, count(), items[:_WARM]))
        agreed, before, after = zip(*pool.map(both, count(), items), strict=True)
    return Comparison(len(items), float(np.mean(agreed)), _latency(before), _latency(after))


def _latency(milliseconds: Sequence[float]) -> Latency:
    return Latency(*(float(np.percentile(milliseconds, share)) for share in (50, 99)))


def check(pipeline: str, found: Comparison, limits: Limits) -> None:
    """Raise WorseError where a limit does not hold."""
    fix = "nothing changed for callers. Look into the build, or, if it is meant to be so, give"
    if found.agreement < limits.min_agreement:
        what = f"the new version agrees on {found.agreement:.4f} of {found.items} items, {limits.min_agreement} are demanded"
        raise WorseError(what, found, where=pipeline, fix=f"{fix} --min-agreement")
    if found.slowdown > limits.max_slowdown:
        what = f"the new version takes {found.slowdown:.2f} times as long (p50), {limits.max_slowdown} are allowed"
        raise WorseError(what, found, where=pipeline, fix=f"{fix} --max-slowdown")
