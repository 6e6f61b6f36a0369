"""Triton's binary HTTP bodies, and the same tensors as JSON can keep them. Standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import struct
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LENGTH = "Inference-Header-Content-Length"
"""Triton's header for how much of a body is JSON; the rest are tensors."""


@dataclass(frozen=True)
class Tensor:
    """One input or output, its values as they travel: little endian, texts each with their length before them."""

    name: str
    datatype: str
    """Triton's word: ``BYTES``, ``FP32``, ``INT64``."""
    shape: tuple[int, ...]
    raw: bytes

    @classmethod
    def of_texts(cls, name: str, *values: bytes) -> Tensor:
        """One column: a row a value."""
        return cls(name, "BYTES", (len(values), 1), packed(values))

    @property
    def texts(self) -> list[bytes]:
        """The values of ``BYTES``."""
        return list(_unpacked(self.raw))

    def as_json(self) -> dict[str, Any]:
        """For a file of text; ``from_json`` reads it."""
        kept = base64.b64encode(zlib.compress(self.raw)).decode()
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape), "data": kept}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Tensor:
        """Raises KeyError or ValueError (zlib's and base64's are such) where it is not what ``as_json`` wrote."""
        try:
            raw = zlib.decompress(base64.b64decode(kept["data"], validate=True))
        except zlib.error as error:
            raise ValueError(str(error)) from None
        return cls(kept["name"], kept["datatype"], tuple(kept["shape"]), raw)


def packed(values: Iterable[bytes]) -> bytes:
    """Texts as Triton takes them."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def _unpacked(raw: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        (length,) = struct.unpack_from("<I", raw, start)
        yield raw[start + 4 : start + 4 + length]
        start += 4 + length


def fetched(request: urllib.request.Request | str, *, timeout: float) -> tuple[bytes, Mapping[str, str]]:
    """A reply's body and headers. Raises OSError whatever goes wrong, also where a server dies in the middle of a reply."""
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.read(), reply.headers
    except http.client.HTTPException as error:
        raise ConnectionError(f"its reply was cut short ({type(error).__name__})") from None


CANARY = "tritonsmith-canary"
"""The id of requests that are no caller's: steps do not count what they ask (``tritonsmith_steps.serve``)."""


def infer(url: str, model: str, inputs: Sequence[Tensor], *, version: int | None = None, timeout: float) -> list[Tensor]:
    """The outputs of one request. Raises OSError, of which an HTTPError has Triton's words in its body."""
    about = [
        {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
            "parameters": {"binary_data_size": len(tensor.raw)},
        }
        for tensor in inputs
    ]
    header = json.dumps({"id": CANARY, "inputs": about, "parameters": {"binary_data_output": True}}).encode()
    typed = {"Content-Type": "application/octet-stream", LENGTH: str(len(header))}
    of_version = f"/versions/{version}" if version else ""
    address = f"{url}/v2/models/{model}{of_version}/infer"
    request = urllib.request.Request(address, header + b"".join(tensor.raw for tensor in inputs), typed)
    content, headers = fetched(request, timeout=timeout)
    described = int(headers.get(LENGTH) or len(content))
    return list(_outputs(json.loads(content[:described]), content[described:]))


def _outputs(said: Mapping[str, Any], raw: bytes) -> Iterator[Tensor]:
    start = 0
    for output in said.get("outputs") or []:
        size = output["parameters"]["binary_data_size"]
        yield Tensor(output["name"], output["datatype"], tuple(output["shape"]), raw[start : start + size])
        start += size
