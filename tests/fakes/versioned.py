"""Callers who note which version answered them, and whether it was its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from tritonclient.grpc import aio

Answer = tuple[str, float]
"""The likeliest label and its score."""


@dataclass(frozen=True)
class Reply:
    """One request that was answered."""

    sent: float
    seconds: float
    version: int


@dataclass
class Callers:
    """So many callers of a classifier, each sending its next text when it has its answer, while the context lasts."""

    url: str
    pipeline: str
    texts: Sequence[str]
    answers: Mapping[int, Mapping[str, Answer]]
    """Of each version, what it says to each text."""
    count: int = 32
    tolerance: float = 1e-4
    replies: list[Reply] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._ended = False
        self._pool = ThreadPoolExecutor(1)
        self._calling = self._pool.submit(lambda: asyncio.run(self._all()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended = True
        with self._pool:
            self._calling.result()

    async def _all(self) -> None:
        async with aio.InferenceServerClient(self.url.removeprefix("grpc://")) as client:
            await asyncio.gather(*(self._one(client, number) for number in range(self.count)))

    async def _one(self, client: Any, number: int) -> None:
        turn = number * len(self.texts) // self.count
        while not self._ended:
            text = self.texts[turn % len(self.texts)]
            turn += 1
            tensor = aio.InferInput("TEXT", [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=object))
            sent = time.monotonic()
            try:
                reply = await client.infer(self.pipeline, [tensor])
            except Exception as error:
                self.failed.append(str(error))
                await asyncio.sleep(0.01)
                continue
            version = int(reply.get_response().model_version)
            self.replies.append(Reply(sent, time.monotonic() - sent, version))
            label, score = reply.as_numpy("LABEL")[0][0].decode(), float(reply.as_numpy("SCORE")[0][0])
            wanted = self.answers[version][text]
            if label != wanted[0] or abs(score - wanted[1]) > self.tolerance:
                self.wrong.append(f"version {version} said {label} {score} to {text!r}, not {wanted}")

    def between(self, start: float, end: float) -> list[Reply]:
        """What was sent in between."""
        return [reply for reply in self.replies if start <= reply.sent < end]


def p99(replies: Sequence[Reply]) -> float:
    """In milliseconds."""
    return float(np.percentile([reply.seconds for reply in replies], 99)) * 1000
