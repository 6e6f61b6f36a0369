"""A real h2load sends every request of an open loop at its pace, keeps a closed one busy, and says what became of each."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from load import h2load
from tritonsmith_build.errors import SmithError

SLOW = 0.2
TEXTS = [["good"], ["busy"], ["slow"], ["two", "ünïcödé"]]
needs_h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen: ClassVar[Counter[tuple[str, ...]]] = Counter()

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        (tensor,) = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        assert tensor["shape"] == [len(tensor["data"]), 1]
        self.seen[tuple(tensor["data"])] += 1
        if tensor["data"] == ["slow"]:
            time.sleep(SLOW)
        self.send_response(503 if tensor["data"] == ["busy"] else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


class Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """h2load breaks off what is under way when its time is up."""


@pytest.fixture
def server() -> Iterator[str]:
    Answering.seen.clear()
    with Listening(("127.0.0.1", 0), Answering) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/v2/models/moods/infer"
        listening.shutdown()
        thread.join()


@needs_h2load
def test_an_open_loop_sends_at_its_pace_whatever_becomes_of_the_others(server: str, tmp_path: Path) -> None:
    sent = h2load.open_loop(server, TEXTS, tmp_path / "sent", rate=40, seconds=2)
    assert dict(Answering.seen) == {tuple(texts): 20 for texts in TEXTS}  # 10 a second each, the slow ones too
    assert Counter(one.status for one in sent) == {200: 60, 503: 20}
    assert [one.at for one in sent] == sorted(one.at for one in sent)
    assert sum(one.seconds >= SLOW for one in sent) >= 20
    took = sent[-1].at - sent[0].at
    assert 20 / took == pytest.approx(10, rel=0.3)


@needs_h2load
def test_a_closed_loop_asks_again_when_it_is_answered(server: str, tmp_path: Path) -> None:
    sent = h2load.closed_loop(server, TEXTS, tmp_path / "sent", callers=8, seconds=1)
    slow = Answering.seen["slow",]
    assert 2 < slow <= 2 * (1 + 1 / SLOW)  # two callers wait for an answer each
    assert slow < Answering.seen["good",]
    assert 0 < len(sent) <= Answering.seen.total()
    assert {one.status for one in sent} == {200, 503}


@needs_h2load
def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SmithError, match="nothing was sent"):
        h2load.open_loop("http://127.0.0.1:1/", TEXTS, tmp_path / "sent", rate=40, seconds=1)


def test_without_h2load_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SmithError, match="h2load is not installed; run: apt-get install nghttp2-client"):
        h2load.found()
