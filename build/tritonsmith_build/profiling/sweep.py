"""``tritonsmith profile``: connect, read what is served, and measure one concurrency after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from tritonsmith.calls import Arrays
from tritonsmith.codec import info_from_config
from tritonsmith.transport import Address, AsyncGrpcTransport, AsyncHttpTransport, async_transport_to

from tritonsmith_build.errors import SmithError
from tritonsmith_build.profiling.advice import Verdict, situation_of, verdict_of
from tritonsmith_build.profiling.asking import ASKED, Asked, requests_from
from tritonsmith_build.profiling.levels import Level, Snapshot, level_of
from tritonsmith_build.profiling.loading import Send, loaded
from tritonsmith_build.profiling.statistics import LATEST, Step, counters_of, ensemble_steps, step_of
from tritonsmith_build.progress import Progress

LOOP = (
    "closed loop: latency with so many requests in flight, each caller sending its next when it is answered; "
    "not latency under an arrival rate"
)
TIMEOUT = 30.0
_CALLERS_A_CONNECTION = 64  # Triton's HTTP client keeps further ones waiting from 100 on
_LONGEST_WARM_UP = 1.0

Wire = AsyncGrpcTransport | AsyncHttpTransport


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    pipeline: str
    url: str
    concurrency: tuple[int, ...]
    seconds: float
    batch: int
    data: Path | None = None
    """Texts or images to send; nothing for this package's own."""

    @property
    def warm_up(self) -> float:
        """Seconds before each window that are not counted."""
        return min(_LONGEST_WARM_UP, self.seconds / 4)


@dataclass(frozen=True)
class Profile:
    """What was measured, and what it means."""

    plan: Plan
    asked: Asked
    distinct: int
    """How many different items were sent."""
    engine: str
    levels: tuple[Level, ...]
    knee: Level
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Everything, for machines."""
        plan = self.plan
        return {
            "pipeline": plan.pipeline,
            "url": plan.url,
            "loop": LOOP,
            "batch": plan.batch,
            f"distinct_{self.asked.noun}s": self.distinct,
            "warm_up_seconds": plan.warm_up,
            "levels": [asdict(level) for level in self.levels],
            "knee": self.knee.concurrency,
            "verdict": asdict(self.verdict),
        }


def concurrencies(written: str) -> tuple[int, ...]:
    """``1,2,4`` as numbers, in their order. Raises SmithError for anything else."""
    words = [word.strip() for word in written.split(",")]
    if not all(word.isascii() and word.isdigit() and int(word) > 0 for word in words):
        raise SmithError(f"{written!r} is no list of whole numbers from 1 on", where="--concurrency", fix="write 1,2,4,8")
    return tuple(sorted({int(word) for word in words}))


def profile(plan: Plan, progress: Progress) -> Profile:
    """Sweep. Raises the client's errors where the server or the pipeline is not there, SmithError where nothing is answered."""
    try:
        address = Address.parse(plan.url, timeout=TIMEOUT)
    except ValueError as error:
        raise SmithError(str(error), where="--url") from None
    return asyncio.run(_profile(plan, address, progress))


async def _profile(plan: Plan, address: Address, progress: Progress) -> Profile:
    wires = [async_transport_to(address) for _ in range(1 + -(-max(plan.concurrency) // _CALLERS_A_CONNECTION))]
    watching, *sending = wires  # the one that reads the counters never waits behind a request
    try:
        tensor, whole, steps = await _served(watching, plan)
        items = ASKED[tensor].items(plan.data)
        requests = requests_from(tensor, items, plan.batch)
        levels = await _sweep(plan, watching, sending, whole, steps, requests, progress)
    finally:
        for wire in wires:
            await wire.close()
    engine = next((step.model for step in steps if step.model == f"{plan.pipeline}_engine"), steps[-1].model)
    situation = situation_of(levels, steps, engine=engine, batch=plan.batch)
    if situation is None:
        said = [f"{kind}: {message}" for level in levels for kind, message in level.error_messages.items()]
        raise SmithError(f"no request was answered in time; {(said or ['give --seconds more'])[-1]}", where=plan.pipeline)
    verdict = verdict_of(situation, levels)
    return Profile(plan, ASKED[tensor], len(set(items)), engine, tuple(levels), situation.level, verdict)


async def _served(wire: Wire, plan: Plan) -> tuple[str, str, list[Step]]:
    """The tensor that the pipeline is asked, the ensemble that counts its answers and those from the cache, and its steps."""
    config = await wire.config(plan.pipeline, TIMEOUT)
    most = info_from_config(plan.pipeline, config).max_batch_size
    needed = [tensor["name"] for tensor in config["input"] if not tensor.get("optional")]
    if len(needed) != 1 or needed[0] not in ASKED:
        what = f"{plan.pipeline} is asked {' and '.join(needed)}; only pipelines of single texts or images are profiled"
        raise SmithError(what, where=plan.pipeline, fix="load it with your own requests and read the server's /metrics")
    if plan.batch > max(1, most):
        what = f"{plan.pipeline} takes at most {ASKED[needed[0]].several(most)} a request"
        raise SmithError(what, where="--batch", fix="give it fewer")
    whole, steps = plan.pipeline, ensemble_steps(config, plan.pipeline)
    configs = {model: await wire.config(model, TIMEOUT) for model, _ in steps}
    if len(steps) == 1 and "ensemble_scheduling" in configs[steps[0][0]]:  # the one within, which remembers
        ((whole, _),) = steps
        steps = ensemble_steps(configs[whole], whole)
        configs = {model: await wire.config(model, TIMEOUT) for model, _ in steps}
    return needed[0], whole, [step_of(model, version, configs[model]) for model, version in steps]


async def _sweep(
    plan: Plan,
    watching: Wire,
    sending: Sequence[Wire],
    whole: str,
    steps: Sequence[Step],
    requests: Sequence[Arrays],
    progress: Progress,
) -> list[Level]:
    async def snapshot() -> Snapshot:
        wanted = [(whole, LATEST), *((step.model, step.version) for step in steps)]
        replies = await asyncio.gather(*(watching.statistics(model) for model, _ in wanted))
        return tuple(counters_of(reply, version) for reply, (_, version) in zip(replies, wanted, strict=True))

    levels = []
    turns = cycle(requests)
    planned = len(plan.concurrency) * (plan.warm_up + plan.seconds)
    with progress.planned(plan.pipeline, planned) as passed:
        for concurrency in plan.concurrency:
            load = await loaded(
                [_sender(wire, plan.pipeline) for wire in sending],
                turns,
                concurrency,
                warm_up=plan.warm_up,
                seconds=plan.seconds,
                snapshot=snapshot,
                passed=_named(passed, concurrency),
            )
            levels.append(level_of(load, plan.batch, whole, steps))
    return levels


def _sender(wire: Wire, pipeline: str) -> Send:
    return lambda inputs: wire.infer(pipeline, inputs, TIMEOUT, "")


def _named(passed: Callable[[float, str], None], concurrency: int) -> Callable[[float], None]:
    return lambda seconds: passed(seconds, f"{concurrency} in flight")
