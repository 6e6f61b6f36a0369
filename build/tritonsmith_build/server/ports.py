"""Where a server listens: given ports checked, free ones found."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from tritonsmith_build.errors import SmithError


@dataclass(frozen=True)
class Ports:
    """Where the server listens, on one host."""

    host: str
    http: int
    grpc: int
    metrics: int
    health: int
    """The supervisor's own."""
    tls: bool = False
    """Whether gRPC is encrypted."""

    @classmethod
    def free(cls, host: str, *, http: int = 0, grpc: int = 0, metrics: int = 0, health: int = 0, tls: bool = False) -> Ports:
        """The given ports, a free one for each 0. Raises SmithError for one that is taken."""
        wanted = {"http": http, "grpc": grpc, "metrics": metrics, "health": health}
        with _Held(host) as held:
            return cls(host, **{name: held.take(f"{name}-port", port) for name, port in wanted.items()}, tls=tls)

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine reaches them."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return self.host == "localhost"

    @property
    def http_url(self) -> str:
        """For a client on this machine."""
        return f"http://{self._reach}:{self.http}"

    @property
    def grpc_url(self) -> str:
        """For a client on this machine."""
        return f"{'grpcs' if self.tls else 'grpc'}://{self._reach}:{self.grpc}"

    @property
    def metrics_url(self) -> str:
        """The page that Prometheus reads."""
        return f"http://{self._reach}:{self.metrics}/metrics"

    @property
    def health_url(self) -> str:
        """What a container's or Kubernetes' probes ask."""
        return f"http://{self._reach}:{self.health}"

    @property
    def _reach(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)


class _Held:
    """Holds every port until all are chosen, so that no two are the same."""

    def __init__(self, host: str) -> None:
        self.host, self.sockets = host, list[socket.socket]()

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *exception: object) -> None:
        for held in self.sockets:
            held.close()

    def take(self, option: str, port: int) -> int:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets.append(held)
        try:
            held.bind((self.host, port))
            held.listen()
        except OSError as error:
            what = f"port {port} on {self.host} cannot be used ({error.strerror})"
            raise SmithError(what, where=f"--{option}", fix=f"end what uses it, or give --{option} 0 for a free one") from None
        return int(held.getsockname()[1])
