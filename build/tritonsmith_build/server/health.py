"""Health is an answer: Triton calls itself ready while a step is dead, so every pipeline is asked a real question.

Run as a container's health check: ``python3 -m tritonsmith_build.server.health --url http://127.0.0.1:8000``.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from typing import Any

from tritonsmith_build.errors import SmithError

TIMEOUT = 30.0


def ask(url: str, pipeline: str, *, timeout: float = TIMEOUT) -> None:
    """Have one pipeline answer texts that no cache knows. Raises SmithError with Triton's words where it does not."""
    model = f"{url}/v2/models/{pipeline}"
    try:
        answer = post(f"{model}/infer", {"inputs": question(get(f"{model}/config", timeout=timeout))}, timeout=timeout)
    except urllib.error.HTTPError as error:
        raise SmithError(f"{pipeline} does not answer: {_said(error)}", where=url) from None
    except OSError as error:  # refused, timed out, cut
        raise SmithError(f"{pipeline} does not answer: {error}", where=url) from None
    if not answer.get("outputs"):
        raise SmithError(f"{pipeline} answers nothing", where=url)


def question(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A text for every input that a pipeline cannot do without, with a mask in it where the pipeline fills in masks."""
    mask = config.get("parameters", {}).get("mask", {}).get("string_value", "")
    needed = [tensor for tensor in config["input"] if not tensor.get("optional")]
    text = f"Ready? {uuid.uuid4().hex[:12]} {mask}".strip()
    return [{"name": tensor["name"], "shape": [1, 1], "datatype": "BYTES", "data": [text]} for tensor in needed]


def served(url: str, *, timeout: float = TIMEOUT) -> list[str]:
    """The ensembles that Triton has loaded. Raises SmithError where no server answers."""
    try:
        index = post(f"{url}/v2/repository/index", {"ready": True}, timeout=timeout)
        names = sorted({entry["name"] for entry in index})
        return [name for name in names if get(f"{url}/v2/models/{name}", timeout=timeout).get("platform") == "ensemble"]
    except OSError as error:
        raise SmithError(f"no Triton server answers ({error})", where=url) from None


def post(url: str, content: object, *, timeout: float) -> Any:
    """Triton's answer to a JSON body."""
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.loads(reply.read() or b"null")


def get(url: str, *, timeout: float) -> Any:
    """Triton's answer."""
    with urllib.request.urlopen(url, timeout=timeout) as reply:
        return json.loads(reply.read() or b"null")


def _said(error: urllib.error.HTTPError) -> str:
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
    made.add_argument("--url", default="http://127.0.0.1:8000", help="Triton's HTTP address")
    made.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds to wait for an answer")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 where every served pipeline answers."""
    wanted = parser().parse_args(arguments)
    url = wanted.url.rstrip("/")
    try:
        pipelines = served(url, timeout=wanted.timeout)
        for pipeline in pipelines:
            ask(url, pipeline, timeout=wanted.timeout)
    except SmithError as error:
        print(error, file=sys.stderr)  # noqa: T201 (the health check's line)
        return 1
    if not pipelines:
        print(f"{url}: no pipeline is served", file=sys.stderr)  # noqa: T201
        return 1
    print(f"answered: {', '.join(pipelines)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
