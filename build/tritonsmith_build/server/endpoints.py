"""What probes and Prometheus may ask of a supervisor: whether it lives, whether every pipeline answers, what has happened."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tritonsmith_build.server.events import Events
from tritonsmith_build.server.health import ANSWERS

_ALIVE_SECONDS = 180.0
"""The end of a server and the start of another are the longest that its supervisor is away."""
Reply = tuple[HTTPStatus, str, bytes]


class Status:
    """What is known of each pipeline; written by the supervisor, read by whoever asks."""

    def __init__(self, events: Events) -> None:
        self._lock = threading.Lock()
        self._troubles: dict[str, str] = {}
        self._events = events
        self.beat()

    def beat(self) -> None:
        """The supervisor is at work."""
        self._beaten = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether it was lately."""
        return time.monotonic() - self._beaten < _ALIVE_SECONDS

    def set(self, pipeline: str, trouble: str = "", *, seconds: float | None = None) -> None:
        """Note that a pipeline answers, or what keeps it from doing so."""
        with self._lock:
            self._troubles[pipeline] = trouble
        self._events.asked(pipeline, answers=not trouble, seconds=seconds)

    def keep(self, pipelines: Mapping[str, str]) -> None:
        """Forget all pipelines but these, with what keeps each from answering."""
        with self._lock:
            self._troubles = dict(pipelines)

    @property
    def troubles(self) -> dict[str, str]:
        """By pipeline, empty where it answers."""
        with self._lock:
            return dict(self._troubles)


class Endpoints:
    """Serves ``/healthz``, ``/readyz`` and ``/metrics`` on a thread of its own while its context lasts."""

    def __init__(self, host: str, port: int, status: Status, events: Events) -> None:
        pages: dict[str, Callable[[], Reply]] = {
            "/healthz": lambda: _page(status.alive, {"alive": status.alive}),
            "/readyz": lambda: _ready(status.troubles),
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(events.registry)),
        }
        self._server = _server(host)((host, port), _handler(pages))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def _ready(troubles: Mapping[str, str]) -> Reply:
    ready = bool(troubles) and not any(troubles.values())
    return _page(ready, {"ready": ready, "pipelines": {name: trouble or ANSWERS for name, trouble in troubles.items()}})


def _page(good: bool, content: Mapping[str, object]) -> Reply:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(content).encode() + b"\n"


def _server(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    return Server


def _handler(pages: Mapping[str, Callable[[], Reply]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10  # of a connection on which nothing comes

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", f"there are: {', '.join(pages)}\n".encode()
            else:
                status, kind, body = page()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes come every few seconds; none is worth a line."""

    return Handler
