"""The ways to ask a server: what a request and an answer look like on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tritonsmith_build.errors import SmithError

from bench.grpc_load import METHOD

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], bytes]
Decode = Callable[[bytes, Mapping[str, str]], Vectors]
"""From an answer's body and headers (names in lower case), ``[texts, width]``."""
ASK_SECONDS = 60.0
_HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Road:
    """One way to ask one running server."""

    protocol: Literal["http", "grpc"]
    host: str
    path: str
    encode: Encode
    decode: Decode

    @property
    def url(self) -> str:
        """Where HTTP goes."""
        return f"http://{self.host}{self.path}"

    def ask(self, texts: Sequence[str]) -> Vectors:
        """One request. Raises SmithError for anything but an answer that can be read."""
        try:
            return self.decode(*_ASK[self.protocol](self, self.encode(texts)))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise SmithError(f"the answer cannot be read ({error!r})", where=self.url) from error


def _ask_http(road: Road, body: bytes) -> tuple[bytes, Mapping[str, str]]:
    connection = HTTPConnection(road.host, timeout=ASK_SECONDS)
    try:
        connection.request("POST", road.path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = reply.read()
    except OSError as error:
        raise SmithError(f"no answer ({error})", where=road.url) from error
    finally:
        connection.close()
    if reply.status != 200:
        raise SmithError(f"answered {reply.status}: {answer[:200].decode(errors='replace')}", where=road.url)
    return answer, {name.lower(): value for name, value in reply.getheaders()}


def _ask_grpc(road: Road, body: bytes) -> tuple[bytes, Mapping[str, str]]:
    import grpc

    with grpc.insecure_channel(road.host) as channel:
        try:
            return channel.unary_unary(METHOD)(body, timeout=ASK_SECONDS, wait_for_ready=True), {}
        except grpc.RpcError as error:
            raise SmithError(f"no answer ({error.details()})", where=road.host) from error


_ASK = {"http": _ask_http, "grpc": _ask_grpc}


def triton_roads(said: Mapping[str, Any], model: str = "embeddings") -> dict[str, Road]:
    """Of a server that ``tritonsmith serve --json`` called ready: binary answers over HTTP, decimal ones, gRPC."""
    path, http = f"/v2/models/{model}/infer", f"127.0.0.1:{said['http']}"
    return {
        "http": Road("http", http, path, v2_json(binary=True), v2_binary_answer),
        "http json": Road("http", http, path, v2_json(binary=False), v2_json_answer),
        "grpc": Road("grpc", f"127.0.0.1:{said['grpc']}", path, grpc_request(model), grpc_answer),
    }


def v2_json(*, binary: bool) -> Encode:
    """A V2 request whose texts are JSON, for vectors alone; ``binary`` asks for them as they lie in memory."""
    how: dict[str, Any] = {"parameters": {"binary_data": True}} if binary else {}

    def encode(texts: Sequence[str]) -> bytes:
        tensor = {"name": "TEXT", "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
        return compact({"inputs": [tensor], "outputs": [{"name": "EMBEDDING", **how}]})

    return encode


def v2_binary_answer(body: bytes, headers: Mapping[str, str]) -> Vectors:
    """JSON that says the shape, then the numbers."""
    length = int(headers[_HEADER_LENGTH])
    (output,) = json.loads(body[:length])["outputs"]
    return np.frombuffer(body[length:], dtype="<f4").reshape(output["shape"])


def v2_json_answer(body: bytes, headers: Mapping[str, str]) -> Vectors:
    """Numbers as decimal text."""
    (output,) = json.loads(body)["outputs"]
    return np.array(output["data"], dtype=np.float32).reshape(output["shape"])


def grpc_request(model: str) -> Encode:
    """A serialised ModelInfer request for vectors alone."""

    def encode(texts: Sequence[str]) -> bytes:
        from tritonclient.grpc import service_pb2
        from tritonclient.utils import serialize_byte_tensor

        column = np.array([[text.encode()] for text in texts], dtype=np.object_)
        request = service_pb2.ModelInferRequest(model_name=model)
        request.inputs.add(name="TEXT", datatype="BYTES", shape=[len(texts), 1])
        request.raw_input_contents.append(serialize_byte_tensor(column).item())
        request.outputs.add(name="EMBEDDING")
        return bytes(request.SerializeToString())

    return encode


def grpc_answer(body: bytes, headers: Mapping[str, str]) -> Vectors:
    """A serialised ModelInfer response."""
    from tritonclient.grpc import service_pb2

    reply = service_pb2.ModelInferResponse.FromString(body)
    return np.frombuffer(reply.raw_output_contents[0], dtype="<f4").reshape(list(reply.outputs[0].shape))


def compact(value: object) -> bytes:
    """JSON as clients write it: no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
