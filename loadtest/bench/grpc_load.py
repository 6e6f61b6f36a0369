"""Load over gRPC: one asyncio process that sends requests serialised beforehand and does not decode the answers.

Run as a program with a job as JSON on standard input; it prints a ``Load`` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonsmith_build.errors import SmithError

from bench.bodies import read_bodies
from bench.wrk import Load

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_STREAMS = 64
"""Requests under way on one connection."""
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


def run(target: str, bodies: Path, *, concurrency: int, seconds: float, answer_bytes: int) -> Load:
    """Keep ``concurrency`` requests under way for ``seconds``; an answer of fewer bytes than ``answer_bytes`` is an error."""
    job = {
        **{"target": target, "bodies": str(bodies), "concurrency": concurrency},
        **{"seconds": seconds, "answer_bytes": answer_bytes},
    }
    command = [sys.executable, "-m", "bench.grpc_load"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SmithError(f"the gRPC load generator failed: {done.stderr.strip()[-300:]}", where=target)
    return Load(**json.loads(done.stdout))


async def load(target: str, bodies: list[bytes], *, concurrency: int, seconds: float, answer_bytes: int) -> Load:
    """The closed loop itself: as many callers as are under way, each asks again when it has been answered."""
    import grpc

    channels = [grpc.aio.insecure_channel(target, options=_OPTIONS) for _ in range(-(-concurrency // _STREAMS))]
    calls = [channel.unary_unary(METHOD) for channel in channels]
    next_body, taken, seen = cycle(bodies).__next__, list[float](), Counter[str]()
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    cpu, start = time.process_time(), time.perf_counter()
    end = start + seconds

    async def caller(call: Any) -> None:
        while (begun := time.perf_counter()) < end:
            try:
                answer = await call(next_body())
            except grpc.aio.AioRpcError:
                seen["errors"] += 1
                continue
            now = time.perf_counter()
            if now > end:  # under way when time was up: not counted, as wrk does not
                return
            if len(answer) < answer_bytes:
                seen["errors"] += 1
            else:
                taken.append(now - begun)

    await asyncio.gather(*(caller(calls[number % len(calls)]) for number in range(concurrency)))
    cpu = time.process_time() - cpu
    await asyncio.gather(*(channel.close() for channel in channels))
    milliseconds = corrected(np.array(taken) * 1e3, seconds * 1e3 * concurrency / max(1, len(taken)))
    p50, p90, p99, p999 = (round(float(value), 3) for value in np.percentile(milliseconds, [50, 90, 99, 99.9]))
    return Load(len(taken), seconds, p50, p90, p99, p999, seen["errors"], round(cpu, 3))


def corrected(taken: NDArray[np.float64], expected: float) -> NDArray[np.float64]:
    """Latencies as wrk reports them, so that both protocols' are alike.

    A closed loop sends nothing while it waits. For an answer that took more than twice the mean, wrk adds those that the
    requests not sent meanwhile would have seen: ``expected`` less each time, down to ``expected``.
    """
    if not taken.size:
        return np.zeros(1)
    added = [np.arange(value - expected, expected, -expected) for value in taken[taken > 2 * expected]]
    return np.concatenate([taken, *added])


def main() -> None:
    """One job from standard input."""
    job = json.load(sys.stdin)
    bodies = read_bodies(Path(job.pop("bodies")))
    result = asyncio.run(load(job.pop("target"), bodies, **job))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
