"""``Client`` and ``AsyncClient``: call a served pipeline as you would call ``transformers.pipeline``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

from tritonsmith.calls import Arrays, Call
from tritonsmith.codec import ModelInfo, decoded, encoded, info_from_config
from tritonsmith.errors import InvalidInputError, TritonsmithError
from tritonsmith.retrying import AsyncAttempts, Attempts, Retry
from tritonsmith.transport import Address, AsyncTransport, Transport, async_transport_to, transport_to

DEFAULT_URL = "grpc://localhost:8001"


class Client:
    """A connection to a Triton server. Safe to share between threads; use it as a context manager.

    ``url`` begins with ``grpc://``, ``grpcs://``, ``http://`` or ``https://``. ``timeout`` is in seconds, for each request
    with all its attempts; the server is told of it and drops what has waited so long in a queue. ``retry`` says how often a
    request is sent again, never by default. A list longer than the model's batch size is split into requests, ``concurrency``
    of them under way at once.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 30.0,
        concurrency: int = 8,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        _check(concurrency)
        self._transport = transport or transport_to(Address.parse(url, timeout=timeout, headers=headers, ca_file=ca_file))
        self._attempts = Attempts(retry, timeout)
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="tritonsmith")

    def pipeline(self, name: str) -> Pipeline:
        """A callable for the pipeline served under ``name``; ModelNotFoundError where there is none."""
        return Pipeline(self, info_from_config(name, self._attempts(partial(self._transport.config, name))))

    def send(self, name: str, call: Call, request_id: str | None = None) -> list[Arrays]:
        """Send a call's requests at once and wait for all; the first error is raised and the rest not sent."""
        ids = call.ids(request_id)
        if len(call.requests) == 1:
            return [self._infer(name, call.requests[0], ids[0])]
        futures = [self._pool.submit(self._infer, name, *part) for part in zip(call.requests, ids, strict=True)]
        try:
            return [_placed(future.result, offset) for future, offset in zip(futures, call.offsets, strict=True)]
        finally:
            for future in futures:
                future.cancel()

    def _infer(self, name: str, request: Arrays, request_id: str) -> Arrays:
        with _named(request_id):
            return self._attempts(partial(self._transport.infer, name, request, request_id=request_id))

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.shutdown(cancel_futures=True)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")


@contextlib.contextmanager
def _named(request_id: str) -> Iterator[None]:
    """What goes wrong says of which request it is."""
    try:
        yield
    except TritonsmithError as error:
        error.request_id = request_id
        raise


def _placed(result: Any, offset: int) -> Arrays:
    try:
        arrays: Arrays = result()
    except InvalidInputError as error:
        raise error.shifted(offset) from None
    return arrays


class Pipeline:
    """One served pipeline."""

    def __init__(self, client: Client, info: ModelInfo) -> None:
        self._client, self.info = client, info

    def __call__(self, inputs: Any, *, request_id: str | None = None, **options: Any) -> Any:
        """Answer one item or many: texts, images, or dictionaries where the task asks more than a text.

        ``request_id`` is what the server's logs and traces call the request, and the errors' ``request_id``; one is made by
        chance where it is left out. Where many items become several requests each gets a number behind it.
        Returns what ``transformers.pipeline`` of the same task returns and takes its options; embeddings are a float32 array
        ``[n, width]``. ``tritonsmith tasks`` lists items and options. Raises the errors of ``tritonsmith.errors``.
        """
        call = encoded(self.info, inputs, options)
        return decoded(self.info, self._client.send(self.info.name, call, request_id), call, options)


class AsyncClient:
    """``Client`` for asyncio: ``pipe = await client.pipeline("sentiment")``, then ``await pipe(texts)``.

    It belongs to the event loop in which it is first used. Over gRPC the server is told of a call that is cancelled.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 30.0,
        concurrency: int = 8,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: str | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        _check(concurrency)
        address = None if transport else Address.parse(url, timeout=timeout, headers=headers, ca_file=ca_file)
        self._address, self._given = address, transport
        self._attempts = AsyncAttempts(retry, timeout)
        self._slots = asyncio.Semaphore(concurrency)

    @property
    def _transport(self) -> AsyncTransport:
        # Made at the first use: Triton's asyncio clients belong to the loop that is running when they are made.
        if self._given is None:
            assert self._address is not None
            self._given = async_transport_to(self._address)
        return self._given

    async def pipeline(self, name: str) -> AsyncPipeline:
        """A callable for the pipeline served under ``name``; ModelNotFoundError where there is none."""
        return AsyncPipeline(self, info_from_config(name, await self._attempts(partial(self._transport.config, name))))

    async def send(self, name: str, call: Call, request_id: str | None = None) -> list[Arrays]:
        """Send a call's requests at once and wait for all; the first error is raised and the rest are cancelled."""

        async def one(request: Arrays, offset: int, own_id: str) -> Arrays:
            async with self._slots:
                try:
                    with _named(own_id):
                        return await self._attempts(partial(self._transport.infer, name, request, request_id=own_id))
                except InvalidInputError as error:
                    raise error.shifted(offset) from None

        ids = call.ids(request_id)
        tasks = [asyncio.ensure_future(one(*part)) for part in zip(call.requests, call.offsets, ids, strict=True)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Let go of all connections."""
        if self._given is not None:
            await self._given.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncPipeline:
    """One served pipeline, for asyncio."""

    def __init__(self, client: AsyncClient, info: ModelInfo) -> None:
        self._client, self.info = client, info

    async def __call__(self, inputs: Any, *, request_id: str | None = None, **options: Any) -> Any:
        """As ``Pipeline`` does."""
        call = encoded(self.info, inputs, options)
        return decoded(self.info, await self._client.send(self.info.name, call, request_id), call, options)
