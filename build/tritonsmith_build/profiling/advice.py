"""What limits a deployment, and the knob to turn: a table of situations, the first that holds is the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tritonsmith_build.profiling.levels import Level, knee_of
from tritonsmith_build.profiling.statistics import Step, StepUse

Kind = Literal["engine", "step", "cache", "client", "sweep", "outside"]

BUSY = 0.8
"""From this share of the time on, what is at work is what the rest waits for."""
_GROWS = 1.05
_MOSTLY = 0.5
_FEW_ROWS = 0.25
_FULL = 0.8
_NOTABLE = 0.02
_LONG_QUEUE = 2.0
"""Seconds."""


@dataclass(frozen=True)
class Situation:
    """The knee of a sweep, and what limits the throughput there."""

    kind: Kind
    name: str
    level: Level
    in_flight: int
    """Items in flight: requests times items a request."""
    last: bool
    """Whether no higher concurrency was tried."""
    step: StepUse
    """The busiest step, be it what limits or not."""
    max_batch_size: int
    """Of that step."""
    max_queue_size: int
    """Likewise."""

    @property
    def few_rows(self) -> bool:
        """Whether batches stay small although enough is in flight to fill them."""
        return self.step.batch_rows < _FEW_ROWS * min(self.in_flight, self.max_batch_size)

    @property
    def full(self) -> bool:
        """Whether batches are about as large as they may be."""
        return self.step.batch_rows >= _FULL * self.max_batch_size > _FULL

    @property
    def strangers(self) -> int:
        """Requests of other callers in the window, beyond what its edges explain."""
        ours = self.level.requests
        extra = self.level.server_answers - ours
        return extra if extra > self.level.concurrency + _NOTABLE * ours else 0

    @property
    def full_queue_seconds(self) -> float:
        """How long the last of a full queue would wait at this throughput."""
        return self.max_queue_size / self.level.requests_per_second

    def words(self) -> Mapping[str, object]:
        """What the sentences of the tables are filled with."""
        return {
            "name": self.name,
            "busy": f"{100 * self.step.busy_share:.0f} %",
            "rows": f"{self.step.batch_rows:.1f}",
            "client": f"{100 * self.level.client_loop_share:.0f} %",
            "cached": f"{100 * self.level.cache_hit_share:.0f} %",
            "outside": f"{self.level.outside_ms or 0:.1f} of {self.level.latency_ms['mean'] or 0:.1f} ms",
            "step": self.step.model,
            "concurrency": self.level.concurrency,
            "strangers": self.strangers,
            "waiting": self.max_queue_size,
            "waits": f"{self.full_queue_seconds:.0f} s",
            "a_second": max(1, round(self.level.requests_per_second)),
        }


@dataclass(frozen=True)
class Advice:
    """A row: for which situations it is, what it says of them, and the keys of a spec or options that it names."""

    holds: Callable[[Situation], bool]
    says: str
    knobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a person is told at the end."""

    bottleneck: str
    kind: Kind
    says: str
    advice: str
    knobs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What else must be known to read the figures."""


BOTTLENECKS: Mapping[Kind, str] = {
    "engine": "{name} works {busy} of the time, with {rows} rows a batch",
    "step": "{name} works {busy} of the time, with {rows} rows a batch",
    "cache": "no step: the response cache gave {cached} of the answers, so these figures are its, not the model's",
    "client": "the load generator: its loop is at work {client} of the time, and {step}, the busiest step, {busy}",
    "sweep": "nothing yet: throughput still grows at {concurrency} in flight; {step}, the busiest, works {busy} of the time",
    "outside": "no step: {step}, the busiest, works {busy} of the time; {outside} of an answer pass outside the steps",
}

ADVICE: tuple[Advice, ...] = (
    Advice(
        lambda now: now.kind == "engine" and now.few_rows and now.last,
        "try more in flight, so that batches grow; then let the engine wait a little for company",
        ("--concurrency", "serving.max_queue_delay_us"),
    ),
    Advice(
        lambda now: now.kind == "engine" and now.few_rows,
        "its batches stay small for what is in flight: let it wait a little for company",
        ("serving.max_queue_delay_us",),
    ),
    Advice(
        lambda now: now.kind == "engine" and now.full,
        "its batches are full: allow larger ones on a GPU, a cheaper precision (int8, bf16), shorter inputs, "
        "or serve more copies",
        ("engine.max_batch_size", "engine.precision", "input.max_length"),
    ),
    Advice(
        lambda now: now.kind == "engine",
        "make its work cheaper with another precision (int8, bf16) or shorter inputs; else a GPU, more cores or copies",
        ("engine.precision", "input.max_length"),
    ),
    Advice(
        lambda now: now.kind == "step",
        "it costs by the request more than by the item: send more of them a request where callers can, else serve more copies",
        ("--batch",),
    ),
    Advice(
        lambda now: now.kind == "cache",
        "to measure the model, serve it with `tritonsmith serve --no-cache`, or give more data than is sent",
        ("serving.cache", "--data"),
    ),
    Advice(
        lambda now: now.kind == "client",
        "the server could do more: give it more items a request, or run this from several machines at once",
        ("--batch",),
    ),
    Advice(lambda now: now.kind == "sweep", "go on with more in flight", ("--concurrency",)),
    Advice(
        lambda now: now.kind == "outside",
        "use gRPC, be near the server, send more items a request, and see whether its machine has cores to spare",
        ("--url", "--batch"),
    ),
)

NOTES: tuple[Advice, ...] = (
    Advice(
        lambda now: now.kind != "cache" and now.level.cache_hit_share > _NOTABLE,
        "{cached} of the answers came from the response cache, so these figures are partly its; "
        "`tritonsmith serve --no-cache` serves without it",
        ("serving.cache",),
    ),
    Advice(
        lambda now: now.strangers > 0,
        "the server answered {strangers} requests of other callers meanwhile; the steps' figures hold theirs too",
    ),
    Advice(
        lambda now: now.kind in ("engine", "step") and now.full_queue_seconds > _LONG_QUEUE,
        "of {waiting} waiting requests the last would be answered after {waits}, and so late after every burst; "
        "a queue of {a_second} takes a second",
        ("serving.max_queue_size",),
    ),
)

REFUSALS: Mapping[str, Advice] = {
    "overloaded": Advice(
        lambda _: True,
        "a step's queue was full: allow a longer one (serving.max_queue_size), at the price of latency, or serve more copies",
        ("serving.max_queue_size",),
    ),
    "request timeout": Advice(
        lambda _: True,
        "requests waited too long: let them wait longer (serving.timeout_ms), or serve more copies",
        ("serving.timeout_ms",),
    ),
}
"""By the kind of error, at whatever level it came."""


def situation_of(levels: Sequence[Level], steps: Sequence[Step], *, engine: str, batch: int) -> Situation | None:
    """What limits the throughput at the knee, None where nothing was answered."""
    knee = knee_of(levels)
    if knee is None:
        return None
    busiest = max(knee.steps, key=lambda step: step.busy_share)
    last = knee.concurrency == max(level.concurrency for level in levels)
    limits = {step.model: (step.max_batch_size, step.max_queue_size) for step in steps}
    kind, name = _limit(knee, busiest, engine, growing=last and _grows(levels, knee))
    return Situation(kind, name, knee, knee.concurrency * batch, last, busiest, *limits[busiest.model])


def _limit(knee: Level, busiest: StepUse, engine: str, *, growing: bool) -> tuple[Kind, str]:
    if knee.cache_hit_share > _MOSTLY:
        return "cache", "the response cache"
    if busiest.busy_share >= BUSY:
        return ("engine" if busiest.model == engine else "step"), busiest.model
    if knee.client_loop_share >= BUSY:
        return "client", "the client"
    return ("sweep", "nothing yet") if growing else ("outside", "outside the steps")


def _grows(levels: Sequence[Level], knee: Level) -> bool:
    smaller = [level.requests_per_second for level in levels if level.concurrency < knee.concurrency]
    return knee.requests_per_second > _GROWS * max(smaller, default=0.0)


def verdict_of(situation: Situation, levels: Sequence[Level]) -> Verdict:
    """The bottleneck in a sentence, the first advice that holds, and every note."""
    words = situation.words()
    advice = next(row for row in ADVICE if row.holds(situation))
    kinds = {kind for level in levels for kind in level.errors}
    notes = [row for row in NOTES if row.holds(situation)] + [row for kind, row in REFUSALS.items() if kind in kinds]
    return Verdict(
        situation.name,
        situation.kind,
        BOTTLENECKS[situation.kind].format_map(words),
        advice.says,
        tuple(dict.fromkeys(knob for row in (advice, *notes) for knob in row.knobs)),
        tuple(row.says.format_map(words) for row in notes),
    )
