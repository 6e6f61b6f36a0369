"""What callers send, what they are answered and the admin key are in no log, metric, event, trace or error."""

from __future__ import annotations

import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from collecting import Collector
from faults.drills import stub_of, triton_of
from load.serving import Serving
from served import Served, serving
from telling import at_length, told
from tritonclient import grpc
from tritonclient.utils import InferenceServerException
from tritonsmith import Client, TritonsmithError
from waiting import until

CANARY = "canary7f3ab1"
"""In every text that is sent."""


@pytest.fixture(scope="module")
def served(fp32_repository: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Both pipelines with everything on that could tell: cache, canaries, traces of all requests, Triton's longest log."""
    options = ("--cache", "--canary-every=1", f"--otlp={collector.url}", "--otlp-every=1", "--request-log-every=1")
    with serving(fp32_repository, tmp_path_factory.mktemp("secrets") / "log", *options, faults=True) as server:
        at_length(server)
        yield server


def good(served: Served) -> list[str]:
    """Each pipeline over both protocols, twice: the second is the cache's."""
    for url in (served.grpc, served.http):
        with Client(url) as client:
            for name in ("sentiment", "embeddings"):
                for _ in range(2):
                    client.pipeline(name)([f"A {CANARY} delight.", f"{CANARY} " * 400])
    return []


def refused(served: Served) -> list[str]:
    """What a step refuses, and what Triton does; the errors as callers get them."""
    said = []
    for url in (served.grpc, served.http):
        with Client(url) as client, pytest.raises(TritonsmithError) as caught:
            client.pipeline("sentiment")(CANARY * 7000)
        said.append(str(caught.value))
    for body in (b'{"inputs": [{"name": "TEXT", "data": ["%s"' % CANARY.encode(), CANARY.encode()):
        with pytest.raises(urllib.error.HTTPError) as failed:
            urllib.request.urlopen(f"{served.http}/v2/models/sentiment/infer", body, timeout=10)
        said.append(failed.value.read().decode(errors="replace"))
    return said


def odd(served: Served) -> list[str]:
    """Bytes that are no text, and two texts where one belongs."""
    import numpy as np

    said = []
    with grpc.InferenceServerClient(served.grpc.removeprefix("grpc://")) as wire:
        for shape, data in (([1, 1], [b"\xff" + CANARY.encode()]), ([1, 2], [CANARY.encode()] * 2)):
            text = grpc.InferInput("TEXT", shape, "BYTES")
            text.set_data_from_numpy(np.array(data, dtype=object).reshape(shape))
            with pytest.raises(InferenceServerException) as caught:
                wire.infer("sentiment", [text])
            said.append(str(caught.value))
    return said


def crash(served: Served) -> list[str]:
    """A step's process dies with requests in it."""
    said, before, ended = list[str](), len(served.events), threading.Event()

    def ask() -> None:
        with Client(served.grpc) as client:
            pipe = client.pipeline("sentiment")
            while not ended.is_set():
                try:
                    pipe([f"{CANARY} {number}" for number in range(16)])
                except TritonsmithError as error:
                    said.append(str(error))

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    os.kill(stub_of(triton_of(Serving(served.process, served.said)), "sentiment_engine"), signal.SIGKILL)
    until(lambda: [event["event"] for event in served.events[before:]][-1:] == ["healed"], "not mended")
    ended.set()
    for caller in callers:
        caller.join()
    assert said
    return said


@pytest.mark.parametrize("path", [good, refused, odd, crash], ids=lambda path: path.__name__)
def test_nothing_that_was_sent_is_told_to_anybody(served: Served, collector: Collector, path: object) -> None:
    assert callable(path)
    spans = len(collector.spans())
    said = path(served)
    until(lambda: len(collector.spans()) > spans, "no trace")
    heard = {**told(served), "error": "\n".join(said), "traces": b"".join(collector.bodies).decode()}
    assert '"pipeline": "sentiment"' in heard["requests"]
    assert "[request id: " in heard["log"]  # which only the longest log has
    assert "sentiment_tokenize" in heard["metrics"]
    found = {name: text.count(CANARY) + text.count(served.key) for name, text in heard.items()}
    assert found == dict.fromkeys(heard, 0)
