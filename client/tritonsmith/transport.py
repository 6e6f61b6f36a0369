"""The wire: Triton's gRPC and HTTP clients behind one small interface, their errors made ours."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit

from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tritonsmith import tracing
from tritonsmith.calls import Arrays
from tritonsmith.errors import RequestTimeoutError, ServerError, ServerUnreachableError, error_from_reply

DEFAULT_PORTS = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 443}
_EXAMPLE = "write for example grpc://localhost:8001 or http://localhost:8000"


@dataclass(frozen=True)
class Address:
    """Where the server is and how to talk to it. ``timeout`` is in seconds, for each request with all its attempts."""

    scheme: str
    host: str
    timeout: float
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str | None = None

    @classmethod
    def parse(
        cls, url: str, *, timeout: float, headers: Mapping[str, str] | None = None, ca_file: str | None = None
    ) -> Address:
        """From ``grpc://``, ``grpcs://``, ``http://`` or ``https://`` and a host. Raises ValueError for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no server's address ({error}); {_EXAMPLE}") from None
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or extra or port == 0:
            raise ValueError(f"{url!r} is no server's address; {_EXAMPLE}")
        if timeout <= 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout:g}")
        if ca_file is not None and not Path(ca_file).is_file():
            raise ValueError(f"ca_file {ca_file}: no such file")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(parts.scheme, f"{host}:{port or DEFAULT_PORTS[parts.scheme]}", timeout, dict(headers or {}), ca_file)

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme.endswith("s")

    @property
    def grpc(self) -> bool:
        """Whether the protocol is gRPC rather than HTTP."""
        return self.scheme.startswith("grpc")

    def ssl_context(self) -> ssl.SSLContext:
        """Certificates are always checked, against ``ca_file`` where it is given."""
        return ssl.create_default_context(cafile=self.ca_file)


_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""No limit of our own on messages. A server that is back is found within a second; gRPC itself would wait up to two minutes."""


class Transport(Protocol):
    """What a ``Client`` needs from the wire; give your own to test without a server.

    ``timeout`` is the time in seconds until nobody waits for the answer any more; RequestTimeoutError says that it is up.
    ``request_id`` is what the server is to call the request.
    """

    def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """Triton's configuration of a model, as JSON has it."""

    def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """Send one request, get all its outputs. Called from several threads at once."""

    def close(self) -> None:
        """Let go of all connections."""


class AsyncTransport(Protocol):
    """What an ``AsyncClient`` needs from the wire."""

    async def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """Triton's configuration of a model, as JSON has it."""

    async def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """Send one request, get all its outputs."""

    async def close(self) -> None:
        """Let go of all connections."""


def _tensors(module: ModuleType, inputs: Arrays) -> list[Any]:
    tensors = []
    for name, array in inputs.items():
        tensor = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def _microseconds(timeout: float) -> int:
    """Seconds as Triton's request parameter ``timeout``: a request still in a queue by then is dropped. 0 would mean none."""
    return max(1, int(timeout * 1e6))


class _Wire:
    """What the four transports share: the address, and their libraries' errors made ours."""

    broken: tuple[type[Exception], ...] = ()
    """The peer hung up."""
    strange: tuple[type[Exception], ...] = (ValueError,)
    """The peer answers something that is not Triton's protocol."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @contextlib.contextmanager
    def _asking(self, model: str, request_id: str) -> Iterator[None]:
        """Around one request for answers: its span, and errors of ours."""
        with tracing.span(model, self._address.host, request_id), self._our_errors():
            yield

    @contextlib.contextmanager
    def _our_errors(self) -> Iterator[None]:
        address = self._address
        where = f"{address.scheme}://{address.host}"
        try:
            yield
        except InferenceServerException as error:
            status = (error.status() or "").removeprefix("StatusCode.")
            message = " ".join((error.message() or "").split())
            reply = error_from_reply(status, message)
            if status == "DEADLINE_EXCEEDED":
                reply = RequestTimeoutError(f"{where} gave no answer within {address.timeout:g} s")
            elif isinstance(reply, ServerUnreachableError):
                reply = ServerUnreachableError(f"{where} cannot be reached: {message}")
            raise reply from error
        except TimeoutError as error:
            raise RequestTimeoutError(f"{where} gave no answer within {address.timeout:g} s") from error
        except self.broken as error:
            raise ServerUnreachableError(f"{where} hung up before it answered") from error
        except OSError as error:  # aiohttp's and gevent's connection errors are OSErrors too
            raise ServerUnreachableError(f"{where} cannot be reached: {error.strerror or error}") from error
        except self.strange as error:
            raise ServerError(f"{where} does not answer as Triton does: {error}") from error


class _GrpcWire(_Wire):
    def __init__(self, address: Address, module: ModuleType) -> None:
        super().__init__(address)
        self._module = module
        self._client = module.InferenceServerClient(
            address.host, ssl=address.secure, root_certificates=address.ca_file, channel_args=_CHANNEL
        )

    def _options(self, timeout: float) -> dict[str, Any]:
        """``client_timeout`` in seconds is the gRPC deadline, which cancels the call at the server too."""
        return {"headers": {**self._address.headers, **tracing.headers()}, "client_timeout": timeout}

    @staticmethod
    def _arrays(result: Any) -> Arrays:
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


class _HttpWire(_Wire):
    def __init__(self, address: Address, module: ModuleType) -> None:
        super().__init__(address)
        self._module = module

    @property
    def _options(self) -> dict[str, Any]:
        """Headers of each request's own: Triton's client writes into them how long its body's head is."""
        return {"headers": {**self._address.headers, **tracing.headers()}}

    @staticmethod
    def _arrays(result: Any) -> Arrays:
        return {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}


class GrpcTransport(_GrpcWire):
    """Triton's gRPC client; one channel serves every thread."""

    def __init__(self, address: Address) -> None:
        import tritonclient.grpc

        super().__init__(address, tritonclient.grpc)

    def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """See Transport."""
        with self._our_errors():
            config: Mapping[str, Any] = self._client.get_model_config(model, as_json=True, **self._options(timeout))["config"]
        return config

    def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """See Transport."""
        with self._asking(model, request_id):
            tensors, options = _tensors(self._module, inputs), self._options(timeout)
            options |= {"request_id": request_id, "timeout": _microseconds(timeout)}
            return self._arrays(self._client.infer(model, tensors, **options))

    def close(self) -> None:
        """See Transport."""
        self._client.close()


class AsyncGrpcTransport(_GrpcWire):
    """Triton's asyncio gRPC client."""

    def __init__(self, address: Address) -> None:
        import tritonclient.grpc.aio

        super().__init__(address, tritonclient.grpc.aio)

    async def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """See AsyncTransport."""
        with self._our_errors():
            reply = await self._client.get_model_config(model, as_json=True, **self._options(timeout))
        config: Mapping[str, Any] = reply["config"]
        return config

    async def statistics(self, model: str) -> Mapping[str, Any]:
        """What Triton has counted of each version of a model, as JSON has it: numbers as text, zeros left out."""
        with self._our_errors():
            options = self._options(self._address.timeout)
            counted: Mapping[str, Any] = await self._client.get_inference_statistics(model, as_json=True, **options)
        return counted

    async def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """See AsyncTransport."""
        with self._asking(model, request_id):
            tensors, options = _tensors(self._module, inputs), self._options(timeout)
            options |= {"request_id": request_id, "timeout": _microseconds(timeout)}
            return self._arrays(await self._client.infer(model, tensors, **options))

    async def close(self) -> None:
        """See AsyncTransport."""
        await self._client.close()


class HttpTransport(_HttpWire):
    """Triton's HTTP client. It must stay in the thread that made it, so each thread has its own."""

    def __init__(self, address: Address) -> None:
        import tritonclient.http
        from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

        super().__init__(address, tritonclient.http)
        self.broken, self.strange = (HTTPConnectionClosed,), (HTTPParseError, ValueError)
        self._local = threading.local()
        self._made: list[Any] = []

    @property
    def _client(self) -> Any:
        if not hasattr(self._local, "client"):
            self._local.client = self._module.InferenceServerClient(
                self._address.host,
                ssl=self._address.secure,
                ssl_context_factory=self._address.ssl_context,
                connection_timeout=self._address.timeout,
                network_timeout=self._address.timeout,
            )
            self._made.append(self._local.client)
        return self._local.client

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """What takes longer ends in TimeoutError: the client's own timeouts are fixed, and hold for each read anew."""
        import gevent

        try:
            with gevent.Timeout(seconds):
                yield
        except gevent.Timeout as alarm:
            # The client may be left with its one connection counted as taken.
            client = self._local.client
            del self._local.client
            self._made.remove(client)
            client.close()
            raise TimeoutError from alarm

    def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """See Transport."""
        with self._our_errors(), self._within(timeout):
            config: Mapping[str, Any] = self._client.get_model_config(model, **self._options)
        return config

    def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """See Transport."""
        with self._asking(model, request_id), self._within(timeout):
            tensors, options = _tensors(self._module, inputs), self._options
            options |= {"request_id": request_id, "timeout": _microseconds(timeout)}
            return self._arrays(self._client.infer(model, tensors, **options))

    def close(self) -> None:
        """See Transport."""
        for client in self._made:
            client.close()


class AsyncHttpTransport(_HttpWire):
    """Triton's asyncio HTTP client."""

    def __init__(self, address: Address) -> None:
        import aiohttp
        import tritonclient.http.aio

        super().__init__(address, tritonclient.http.aio)
        self.broken, self.strange = (aiohttp.ServerDisconnectedError,), (aiohttp.ClientError, ValueError)
        self._client = self._module.InferenceServerClient(
            address.host,
            ssl=address.secure,
            ssl_context=address.ssl_context() if address.secure else None,
            conn_timeout=address.timeout,
        )

    async def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        """See AsyncTransport."""
        with self._our_errors():
            async with asyncio.timeout(timeout):
                config: Mapping[str, Any] = await self._client.get_model_config(model, **self._options)
        return config

    async def statistics(self, model: str) -> Mapping[str, Any]:
        """What Triton has counted of each version of a model."""
        with self._our_errors():
            counted: Mapping[str, Any] = await self._client.get_inference_statistics(model, **self._options)
        return counted

    async def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        """See AsyncTransport."""
        with self._asking(model, request_id):
            async with asyncio.timeout(timeout):
                tensors, options = _tensors(self._module, inputs), self._options
                options |= {"request_id": request_id, "timeout": _microseconds(timeout)}
                return self._arrays(await self._client.infer(model, tensors, **options))

    async def close(self) -> None:
        """See AsyncTransport."""
        await self._client.close()


def transport_to(address: Address) -> Transport:
    """The transport for an address."""
    return GrpcTransport(address) if address.grpc else HttpTransport(address)


def async_transport_to(address: Address) -> AsyncGrpcTransport | AsyncHttpTransport:
    """The asyncio transport for an address."""
    return AsyncGrpcTransport(address) if address.grpc else AsyncHttpTransport(address)
