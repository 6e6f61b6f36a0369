"""Health is an answer: Triton calls itself ready while a step is dead, so every pipeline is asked a real question.

Run as a container's health check: ``python3 -m tritonsmith_build.server.health --url http://127.0.0.1:8003``.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import sys
import urllib.error
import urllib.request
import uuid
import wave
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.keys import headers
from tritonsmith_build.server.wire import Tensor, fetched, infer

TIMEOUT = 30.0
ANSWERS = "answers"
"""A supervisor's word for a pipeline that does."""


def ask(url: str, pipeline: str, *, timeout: float = TIMEOUT) -> None:
    """Have one pipeline answer what no cache knows. Raises SmithError with Triton's words where it does not."""
    try:
        config = get(f"{url}/v2/models/{pipeline}/config", timeout=timeout)
        outputs = infer(url, pipeline, question(config, unique=uuid.uuid4().bytes), timeout=timeout)
    except urllib.error.HTTPError as error:
        raise SmithError(f"{pipeline} does not answer: {said(error)}", where=url) from None
    except OSError as error:  # refused, timed out, cut
        raise SmithError(f"{pipeline} does not answer: {error}", where=url) from None
    if not outputs:
        raise SmithError(f"{pipeline} answers nothing", where=url)


def check(url: str, *, timeout: float = TIMEOUT) -> dict[str, str]:
    """What keeps each pipeline from answering, nothing where it does.

    A supervisor is believed; where the address is Triton's own, each pipeline is asked a question.

    Raises SmithError where no server answers, or it has no pipeline.
    """
    asked = _supervised(url, timeout)
    if asked is None:
        asked = {name: _trouble(url, name, timeout) for name in served(url, timeout=timeout)}
    if not asked:
        raise SmithError("no pipeline is served", where=url)
    return asked


def _supervised(url: str, timeout: float) -> dict[str, str] | None:
    """What a supervisor knows, None where it is none that answers."""
    try:
        content = fetched(f"{url}/readyz", timeout=timeout)[0]
    except urllib.error.HTTPError as error:
        content = error.read()
    except OSError as error:
        raise SmithError(f"no server answers ({error})", where=url) from None
    try:
        pipelines: dict[str, str] = json.loads(content)["pipelines"]
    except (ValueError, KeyError, TypeError):
        return None
    return {name: "" if said == ANSWERS else f"{url}: {name} does not answer: {said}" for name, said in pipelines.items()}


def _trouble(url: str, pipeline: str, timeout: float) -> str:
    try:
        ask(url, pipeline, timeout=timeout)
    except SmithError as error:
        return str(error)
    return ""


def question(config: Mapping[str, Any], *, unique: bytes) -> list[Tensor]:
    """A text, an image or a recording for every input that a pipeline cannot do without, another for other bytes.

    In the text is a mask where the pipeline fills in masks.
    """
    mask = config.get("parameters", {}).get("mask", {}).get("string_value", "")
    text = f"Ready? {unique.hex()[:12]} {mask}".strip().encode()
    needed = [tensor["name"] for tensor in config["input"] if not tensor.get("optional")]
    files = {"IMAGE": _png, "AUDIO": _wav}
    return [Tensor.of_texts(name, files[name](unique) if name in files else text) for name in needed]


def _wav(samples: bytes, rate: int = 16_000) -> bytes:
    """A second that repeats ``samples``, in 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(rate)
        made.writeframes((samples * rate)[: 2 * rate])
    return file.getvalue()


def _png(pixels: bytes, side: int = 64) -> bytes:
    """A grey image whose rows repeat ``pixels``; a container's check has no library for it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    row = b"\0" + (pixels * side)[:side]
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def served(url: str, *, key: str = "", timeout: float = TIMEOUT) -> list[str]:
    """The pipelines that Triton has loaded: what has a task. Raises SmithError where none answers, or it wants another key."""
    try:
        index = post(f"{url}/v2/repository/index", {"ready": True}, key=key, timeout=timeout)
        names = sorted({entry["name"] for entry in index})
        configs = {name: get(f"{url}/v2/models/{name}/config", timeout=timeout) for name in names}
    except urllib.error.HTTPError as error:
        raise SmithError(f"says no: {said(error)}", where=url, fix="ask its supervisor, --url http://HOST:8003") from None
    except OSError as error:
        raise SmithError(f"no Triton server answers ({error})", where=url) from None
    return [name for name, config in configs.items() if "task" in config.get("parameters", {})]


def post(url: str, content: object, *, timeout: float, key: str = "") -> Any:
    """Triton's answer to a JSON body."""
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json", **headers(key)})
    return json.loads(fetched(request, timeout=timeout)[0] or b"null")


def get(url: str, *, timeout: float) -> Any:
    """Triton's answer."""
    return json.loads(fetched(url, timeout=timeout)[0] or b"null")


def said(error: urllib.error.HTTPError) -> str:
    """Triton's words for what went wrong."""
    body = error.read().decode(errors="replace")
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body or str(error)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="python3 -m tritonsmith_build.server.health", description=(__doc__ or "").split("\n")[0]
    )
    made.add_argument("--url", default="http://127.0.0.1:8003", help="the supervisor's address, or Triton's over HTTP")
    made.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds to wait for an answer")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 where every served pipeline answers."""
    wanted = parser().parse_args(arguments)
    try:
        asked = check(wanted.url.rstrip("/"), timeout=wanted.timeout)
    except SmithError as error:
        print(error, file=sys.stderr)  # noqa: T201 (the health check's line)
        return 1
    if troubles := [trouble for trouble in asked.values() if trouble]:
        print(*troubles, sep="\n", file=sys.stderr)  # noqa: T201
        return 1
    print(f"answered: {', '.join(asked)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
