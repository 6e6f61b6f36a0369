"""The same call by ``Client`` and by ``AsyncClient``, so that one test can say it of both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fake_transport import FakeAsyncTransport, FakeTransport, _Recorded
from tritonsmith import AsyncClient, Client


@dataclass(frozen=True)
class Caller:
    """``name`` says which client it is; ``transport`` is the fake that goes with it."""

    name: str
    transport: type[_Recorded]

    def __call__(self, name: str, *calls: Any, options: dict[str, Any] | None = None, **client: Any) -> list[Any]:
        """The answers of the pipeline ``name`` to each of ``calls``, from one client made with ``client``."""
        made = _async_calls if self.name == "AsyncClient" else _calls
        return made(name, calls, options or {}, client)


def _calls(name: str, calls: Any, options: dict[str, Any], client: dict[str, Any]) -> list[Any]:
    with Client(**client) as opened:
        pipe = opened.pipeline(name)
        return [pipe(texts, **options) for texts in calls]


def _async_calls(name: str, calls: Any, options: dict[str, Any], client: dict[str, Any]) -> list[Any]:
    async def call() -> list[Any]:
        async with AsyncClient(**client) as opened:
            pipe = await opened.pipeline(name)
            return [await pipe(texts, **options) for texts in calls]

    return asyncio.run(call())


SYNC = Caller("Client", FakeTransport)
ASYNC = Caller("AsyncClient", FakeAsyncTransport)
