"""Servers that speak Triton's two protocols on a free port of this machine: one model, an answer of the test's own.

Messages are read with Triton's own client library, so what the client under test sends is checked by another's eyes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

UNKNOWN = "Request for unknown model: 'nope' is not found"


class Refusal(Exception):  # noqa: N818
    """Raised by an answer: what the server says over gRPC and over HTTP."""

    def __init__(self, grpc_code: grpc.StatusCode, http_status: int, message: str) -> None:
        super().__init__(message)
        self.grpc_code, self.http_status, self.message = grpc_code, http_status, message


Classes = list[list[tuple[bytes, float]]]


@dataclass
class TinyPipeline:
    """A text-classification pipeline named ``demo``: ``answer`` gives each text's classes, or raises Refusal."""

    answer: Callable[[list[bytes]], Classes]
    max_batch_size: int = 4
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request, their names in lower case."""
    timeouts: list[int] = field(default_factory=list)
    """Of each request for answers, in microseconds."""
    hung_up: Event = field(default_factory=Event)
    """Set when a gRPC request for answers is over, before its answer where the caller has gone."""

    def classes(self, model: str, content: bytes, shape: list[int]) -> list[tuple[str, str, list[int], bytes]]:
        """Name, datatype, shape and bytes of both outputs."""
        self.known(model)
        texts = deserialize_bytes_tensor(content)
        assert shape == [len(texts), 1]
        rows = self.answer(texts.tolist())
        labels = np.array([[label for label, _ in row] for row in rows], dtype=np.object_)
        scores = np.array([[score for _, score in row] for row in rows], dtype=np.float32)
        return [
            ("LABEL", "BYTES", list(labels.shape), serialize_byte_tensor(labels).item()),
            ("SCORE", "FP32", list(scores.shape), scores.tobytes()),
        ]

    def known(self, model: str) -> None:
        if model != "demo":
            raise Refusal(grpc.StatusCode.NOT_FOUND, 404, UNKNOWN)


class _Grpc(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, served: TinyPipeline) -> None:
        self._served = served

    def _refused(self, context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
        self._served.headers.append({key: str(value) for key, value in context.invocation_metadata()})
        try:
            return work()
        except Refusal as refusal:
            return context.abort(refusal.grpc_code, refusal.message)

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        config = model_config_pb2.ModelConfig(name="demo", max_batch_size=self._served.max_batch_size)
        config.parameters["task"].string_value = "text-classification"
        self._refused(context, lambda: self._served.known(request.name))
        return service_pb2.ModelConfigResponse(config=config)

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        (text,), (content,) = request.inputs, request.raw_input_contents
        self._served.timeouts.append(request.parameters["timeout"].int64_param)
        context.add_callback(self._served.hung_up.set)
        assert (text.name, text.datatype) == ("TEXT", "BYTES")
        answers = self._refused(context, lambda: self._served.classes(request.model_name, content, list(text.shape)))
        response = service_pb2.ModelInferResponse(model_name="demo", model_version="1")
        for name, kind, shape, output in answers:
            response.outputs.add(name=name, datatype=kind, shape=shape)
            response.raw_output_contents.append(output)
        return response


def _handler(served: TinyPipeline) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def _reply(self, pattern: str, work: Callable[[str], tuple[dict[str, Any], bytes]]) -> None:
            served.headers.append({key.lower(): value for key, value in self.headers.items()})
            found = re.fullmatch(pattern, self.path)
            try:
                status, (content, binary) = (200, work(found[1])) if found else (404, ({"error": "Not Found"}, b""))
            except Refusal as refusal:
                status, content, binary = refusal.http_status, {"error": refusal.message}, b""
            head = json.dumps(content).encode()
            self.send_response(status)
            if binary:
                self.send_header("Inference-Header-Content-Length", str(len(head)))
            self.send_header("Content-Length", str(len(head + binary)))
            self.end_headers()
            with suppress(ConnectionError):  # a client that gave up has gone
                self.wfile.write(head + binary)

        def do_GET(self) -> None:
            def config(model: str) -> tuple[dict[str, Any], bytes]:
                served.known(model)
                parameters = {"task": {"string_value": "text-classification"}}
                return {"name": model, "max_batch_size": served.max_batch_size, "parameters": parameters}, b""

            self._reply("/v2/models/(.*)/config", config)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))

            def infer(model: str) -> tuple[dict[str, Any], bytes]:
                end = int(self.headers["Inference-Header-Content-Length"])
                head = json.loads(body[:end])
                assert head["parameters"].keys() == {"binary_data_output", "timeout"}
                assert head["parameters"]["binary_data_output"] is True
                served.timeouts.append(head["parameters"]["timeout"])
                (text,) = head["inputs"]
                assert (text["name"], text["datatype"]) == ("TEXT", "BYTES")
                answers = served.classes(model, body[end:], text["shape"])
                outputs = [
                    {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(content)}}
                    for name, kind, shape, content in answers
                ]
                return {"model_name": model, "outputs": outputs}, b"".join(content for *_, content in answers)

            self._reply("/v2/models/(.*)/infer", infer)

    return Handler


@contextmanager
def grpc_server(served: TinyPipeline, *, workers: int = 8) -> Iterator[str]:
    """The URL of a gRPC server that runs inside the block and answers so many requests at once."""
    server = grpc.server(ThreadPoolExecutor(workers))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Grpc(served), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


@contextmanager
def http_server(served: TinyPipeline) -> Iterator[str]:
    """The URL of an HTTP server that runs inside the block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(served)) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
