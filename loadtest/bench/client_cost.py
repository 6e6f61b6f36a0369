"""What a Python client costs the service that calls: how many requests it makes of a second of one core."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from tritonsmith import AsyncClient, Client
from tritonsmith_build.server.keys import ADMIN_KEY, GRPC_HEADER, read_key

from bench.places import LOGS
from bench.repositories import PIPELINE
from bench.results import ClientCost, Results
from bench.running import WIDTH_BYTES, in_order
from bench.servers import tritonsmith
from bench.workloads import in_batches

ROUNDS, SECONDS, CALLERS, ROWS = 3, 1.0, 8, 32
Requests = Sequence[Sequence[str]]
Ask = Callable[[Sequence[str]], object]


@dataclass(frozen=True)
class Way:
    """One way to call, with as many texts a request."""

    title: str
    rows: int
    scheme: str
    run: Callable[[str, Requests, float], int]
    """Calls the server at an address for so many seconds; how many requests were answered."""


def measured(results: Results, repository: Path, texts: Sequence[str]) -> None:
    """Replace a run's figures by new ones.

    All answers come from the response cache: the server is quick, and the client does what it always does.
    """
    rows = []
    with tritonsmith(repository, cache=True)(LOGS / "client.log") as live:
        for number in range(ROUNDS):
            for way in in_order(WAYS, number):
                url = f"{way.scheme}://{live.roads[way.scheme].host}"
                requests = in_batches(texts, way.rows)[:CALLERS]
                way.run(url, requests, SECONDS / 4)
                begun, used = time.perf_counter(), time.process_time()
                count = way.run(url, requests, SECONDS)
                cpu, took = time.process_time() - used, time.perf_counter() - begun
                per_second, per_core = round(count / took, 1), round(count / cpu, 1)
                row = ClientCost(way=way.title, rows=way.rows, round=number, per_second=per_second, per_core_second=per_core)
                rows.append(row)
    results.client = rows


def _one_by_one(
    asking: Callable[[str], contextlib.AbstractContextManager[Ask]], url: str, requests: Requests, seconds: float
) -> int:
    with asking(url) as ask:
        end, count = time.perf_counter() + seconds, 0
        for request in cycle(requests):
            if time.perf_counter() >= end:
                break
            ask(request)
            count += 1
    return count


@contextlib.contextmanager
def _client(url: str) -> Iterator[Ask]:
    with Client(url) as client:
        yield client.pipeline(PIPELINE)


@contextlib.contextmanager
def _client_a_call(url: str) -> Iterator[Ask]:
    def ask(texts: Sequence[str]) -> object:
        with Client(url) as client:
            return client.pipeline(PIPELINE)(texts)

    yield ask


@contextlib.contextmanager
def _bare(url: str, *, shared: bool = False) -> Iterator[Ask]:
    """NVIDIA's own client and the least that one can do with it."""
    import tritonclient.grpc as triton

    with contextlib.ExitStack() as stack:
        client = stack.enter_context(triton.InferenceServerClient(url.removeprefix("grpc://")))
        outputs, read = _in_shared_memory(stack, client, triton) if shared else (None, _from_answer)

        def ask(texts: Sequence[str]) -> object:
            tensor = triton.InferInput("TEXT", [len(texts), 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=np.object_))
            return read(client.infer(PIPELINE, [tensor], outputs=outputs))

        yield ask


def _from_answer(reply: Any) -> object:
    return reply.as_numpy("EMBEDDING")


def _in_shared_memory(stack: contextlib.ExitStack, client: Any, triton: Any) -> tuple[list[Any], Callable[[Any], object]]:
    from tritonclient.utils import shared_memory

    name, size = f"bench-{uuid4().hex}", ROWS * WIDTH_BYTES
    region = shared_memory.create_shared_memory_region(name, name, size)
    stack.callback(shared_memory.destroy_shared_memory_region, region)
    key = {GRPC_HEADER: read_key(ADMIN_KEY)}
    client.register_system_shared_memory(name, name, size, headers=key)
    stack.callback(client.unregister_system_shared_memory, name, headers=key)
    output = triton.InferRequestedOutput("EMBEDDING")
    output.set_shared_memory(name, size)
    shape = [ROWS, size // ROWS // np.dtype(np.float32).itemsize]
    return [output], lambda reply: shared_memory.get_contents_as_numpy(region, np.float32, shape)


def _at_once(url: str, requests: Requests, seconds: float) -> int:
    async def all_callers() -> int:
        async with AsyncClient(url, concurrency=CALLERS) as client:
            pipe, end = await client.pipeline(PIPELINE), time.perf_counter() + seconds

            async def caller(request: Sequence[str]) -> int:
                count = 0
                while time.perf_counter() < end:
                    await pipe(request)
                    count += 1
                return count

            return sum(await asyncio.gather(*(caller(request) for request in requests)))

    return asyncio.run(all_callers())


WAYS = (
    *(Way("Client, gRPC", rows, "grpc", partial(_one_by_one, _client)) for rows in (1, ROWS)),
    *(Way("Client, HTTP", rows, "http", partial(_one_by_one, _client)) for rows in (1, ROWS)),
    *(Way(f"AsyncClient, gRPC, {CALLERS} at once", rows, "grpc", _at_once) for rows in (1, ROWS)),
    *(Way(f"AsyncClient, HTTP, {CALLERS} at once", rows, "http", _at_once) for rows in (1, ROWS)),
    Way("Client, gRPC, a new one for each call", 1, "grpc", partial(_one_by_one, _client_a_call)),
    *(Way("tritonclient alone, gRPC", rows, "grpc", partial(_one_by_one, _bare)) for rows in (1, ROWS)),
    Way("tritonclient alone, gRPC, answers in shared memory", ROWS, "grpc", partial(_one_by_one, partial(_bare, shared=True))),
)
