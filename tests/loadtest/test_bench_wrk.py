"""wrk's report is read, and a real wrk sends every body and counts every error."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from bench import wrk
from bench.bodies import read_bodies, write_bodies
from tritonsmith_build.errors import SmithError

REPORT = {
    "requests": 100,
    "duration_us": 2_000_000,
    **{"p50_us": 1500, "p90_us": 2500, "p99_us": 9000, "p999_us": 12_000, "max_us": 20_000},
    **{"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0},
}
BODIES = [b'{"n":1}', b"", b"two\nlines\n", "ünïcödé".encode(), b"x" * 5000]
BAD = b"x" * 5000


def report(**changed: int) -> str:
    return f"Running 2s test @ http://127.0.0.1:1/\n  100 requests\n{json.dumps(REPORT | changed)}\n"


def test_a_report_is_read_in_seconds_and_milliseconds() -> None:
    load = wrk.parsed(report(), loader_cpu=0.25)
    assert load == wrk.Load(100, 2.0, 1.5, 2.5, 9.0, 12.0, errors=0, loader_cpu=0.25)
    assert load.per_second == 50.0


@pytest.mark.parametrize("kind", ["connect", "read", "write", "timeout", "status"])
def test_each_kind_of_error_counts(kind: str) -> None:
    assert wrk.parsed(report(**{kind: 7})).errors == 7


def test_what_was_answered_with_an_error_is_no_answer() -> None:
    assert wrk.parsed(report(status=40)).per_second == 30.0
    assert wrk.parsed(report(read=40)).per_second == 50.0  # those are not among the answers


def test_a_report_without_figures_is_an_error() -> None:
    with pytest.raises(SmithError, match="no result: unable to connect"):
        wrk.parsed("unable to connect")


def test_bodies_come_back_whatever_they_hold(tmp_path: Path) -> None:
    write_bodies(tmp_path / "b", BODIES)
    assert read_bodies(tmp_path / "b") == BODIES


class Listening(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """wrk breaks off what is under way when its time is up."""


class Counting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen: ClassVar[Counter[bytes]] = Counter()
    types: ClassVar[Counter[str | None]] = Counter()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen[body] += 1
        self.types[self.headers["Content-Type"]] += 1
        self.send_response(503 if body == BAD else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    for kept in (Counting.seen, Counting.types):
        kept.clear()
    with Listening(("127.0.0.1", 0), Counting) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/"
        listening.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_real_wrk_sends_all_bodies_in_turn_and_counts(server: str, tmp_path: Path) -> None:
    write_bodies(tmp_path / "b", BODIES)
    load = wrk.run(server, tmp_path / "b", concurrency=2, seconds=1, threads=1)
    seen = Counting.seen
    assert set(seen) == set(BODIES)
    assert set(Counting.types) == {"application/json"}
    assert max(seen.values()) - min(seen.values()) <= 2  # each in its turn
    under_way = 2  # at the end: sent, and perhaps never counted
    assert load.errors > 0
    assert seen[BAD] - under_way <= load.errors <= seen[BAD]
    assert seen.total() - under_way <= load.requests + load.errors <= seen.total()
    assert 0 < load.p50 <= load.p90 <= load.p99
    assert 0 < load.loader_cpu < 2 * load.seconds


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_threads_begin_at_different_bodies(server: str, tmp_path: Path) -> None:
    bodies = [b"%d" % number for number in range(200_000)]
    write_bodies(tmp_path / "b", bodies)
    wrk.run(server, tmp_path / "b", concurrency=2, seconds=1, threads=2)
    assert Counting.seen.total() < 100_000  # so that one thread alone could not get to both halves
    assert {int(body) // 100_000 for body in Counting.seen} == {0, 1}


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        with pytest.raises(SmithError, match="apt-get install wrk"):
            wrk.found()
        return
    write_bodies(tmp_path / "b", [b"x"])
    with pytest.raises(SmithError, match="unable to connect"):
        wrk.run("http://127.0.0.1:1/", tmp_path / "b", concurrency=1, seconds=1)


def test_without_wrk_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SmithError, match="wrk is not installed; run: apt-get install wrk"):
        wrk.found()
