"""Triton's model control over either protocol, and what it says of its models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from tritonclient.utils import InferenceServerException
from tritonsmith.transport import Address

from tritonsmith_build.errors import SmithError

READY = "READY"
_LOAD_SECONDS = 600.0
States = Mapping[str, Mapping[int, str]]
"""Of each model and version, what Triton calls it."""


class ControlError(SmithError):
    """Triton refused, or did not answer."""


class Control(Protocol):
    """What an upgrade needs of a server."""

    def load(self, model: str) -> None:
        """Read a model's folder and configuration anew; what it served before answers until that is done."""

    def unload(self, model: str) -> None:
        """Answer what is in flight, and no more."""

    def states(self) -> States:
        """Of all models."""


class TritonControl:
    """A server at an address. Raises ControlError with Triton's words."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._where = f"{address.scheme}://{address.host}"

    def __enter__(self) -> Self:
        address = self._address
        if address.grpc:
            from tritonclient import grpc

            self._options: dict[str, Any] = {"headers": dict(address.headers), "client_timeout": _LOAD_SECONDS}
            self._client = grpc.InferenceServerClient(address.host, ssl=address.secure, root_certificates=address.ca_file)
        else:
            from tritonclient import http

            self._options = {"headers": dict(address.headers)}
            self._client = http.InferenceServerClient(
                address.host, ssl=address.secure, ssl_context_factory=address.ssl_context, network_timeout=_LOAD_SECONDS
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def load(self, model: str) -> None:
        """See Control."""
        self._call(f"{model} does not load", lambda: self._client.load_model(model, **self._options))

    def unload(self, model: str) -> None:
        """See Control."""
        self._call(f"{model} does not unload", lambda: self._client.unload_model(model, **self._options))

    def states(self) -> States:
        """See Control."""
        said = self._call("the models cannot be listed", lambda: self._client.get_model_repository_index(**self._options))
        entries = said if isinstance(said, list) else [_entry(one) for one in said.models]
        found: dict[str, dict[int, str]] = {}
        for entry in entries:
            if entry.get("version"):
                found.setdefault(entry["name"], {})[int(entry["version"])] = entry.get("state", "")
        return found

    def _call(self, failed: str, call: Callable[[], Any]) -> Any:
        with self._our_errors(failed):
            return call()

    @contextlib.contextmanager
    def _our_errors(self, failed: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            said = " ".join((error.message() or "").split())
            fix = "give the server's --admin-key-file" if "restricted" in said else None
            raise ControlError(f"{failed}: {said}", where=self._where, fix=fix) from None
        except OSError as error:  # gevent's and Python's own
            raise ControlError(f"{failed}: {error}", where=self._where, fix="give the server's address with --url") from None


def _entry(one: Any) -> dict[str, str]:
    return {"name": one.name, "version": one.version, "state": one.state}
