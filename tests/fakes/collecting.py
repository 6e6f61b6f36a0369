"""A collector of traces on loopback: it takes what Triton sends it."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """Takes OTLP over HTTP."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, trace_id: int | None = None) -> list[Span]:
        """All, or those of one trace. Triton 2.51 sends JSON, in which OTLP writes ids in hexadecimal, protobuf in base64."""
        found: list[Span] = []
        for body in list(self.bodies):
            for resource in json_format.Parse(body, ExportTraceServiceRequest()).resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return [span for span in found if trace_id in (None, int(base64.b64encode(span.trace_id), 16))]


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """One, while the context lasts."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_address[1]}", bodies)
    finally:
        server.shutdown()
        server.server_close()
