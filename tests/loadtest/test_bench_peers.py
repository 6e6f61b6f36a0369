"""A peer's ``peer.toml``: read, filled in, started, asked, ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from bench.footprint import idle_percent, memory_mib, processes
from bench.peers import Environment, Variant, filled, installed, peers_in, precision_of, starter
from bench.templates import answer, request
from tritonsmith_build.errors import SmithError

PEER = """\
title = "A peer"
packages = ["fastapi"]
engine = "torch fp32"
source = "https://example.org"
path = "/embed"
request = '{"texts": $texts}'
answer = "embeddings"
ready = "/health"
[[variants]]
name = "1 worker"
command = ["{python}", "server.py", "{port}"]
environment = { CORES = "{cores}" }
"""
SERVER = """\
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

# A child in a session of its own that ignores SIGTERM: nothing of a peer may be left.
child = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)


class Handler(BaseHTTPRequestHandler):
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer("ready")

    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["texts"]
        self.answer({"embeddings": [[len(text), int(os.environ["CORES"])] for text in texts]})

    def log_message(self, *args):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def written(folder: Path, toml: str = PEER, server: str = SERVER) -> Path:
    place = folder / "a_peer"
    place.mkdir()
    (place / "peer.toml").write_text(toml)
    (place / "server.py").write_text(server)
    (place / "requirements.txt").write_text("no-such-package-of-anyone==0\n")
    return folder


def test_requests_are_filled_in_as_json() -> None:
    texts = ['say "hi"\n', "grüß", "$texts"]
    assert json.loads(request('{"inputs": {"data": $texts}}')(texts)) == {"inputs": {"data": texts}}
    both = request('{"texts": $texts}', '{"text": $text}')
    assert json.loads(both(["one"])) == {"text": "one"}
    assert json.loads(both(["one", "two"])) == {"texts": ["one", "two"]}


@pytest.mark.parametrize(
    ("path", "reply", "width"),
    [
        ("embeddings", {"embeddings": [[1, 2], [3, 4]]}, 0),
        ("", [[1, 2], [3, 4]], 0),
        ("outputs.0.data", {"outputs": [{"data": [1, 2, 3, 4]}]}, 2),
        ("", [1, 2, 3, 4], 2),
    ],
)
def test_answers_are_found_and_shaped(path: str, reply: object, width: int) -> None:
    vectors = answer(path, width=width)(json.dumps(reply).encode(), {})
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_an_answer_to_one_text_may_have_its_own_place() -> None:
    decode = answer("many", "one")
    assert decode(b'{"one": [1, 2]}', {}).tolist() == [[1, 2]]
    assert decode(b'{"many": [[1, 2], [3, 4]]}', {}).tolist() == [[1, 2], [3, 4]]


def test_known_names_in_braces_are_replaced() -> None:
    assert filled('{bin}/x --port={port} {"a": {b}}', {"bin": "/b", "port": 80}) == '/b/x --port=80 {"a": {b}}'


@pytest.mark.parametrize(
    ("variant", "engine", "precision"),
    [("1 worker", "", "fp32"), ("INT8, 2 workers", "", "int8"), ("2 workers", "ONNX Runtime INT8", "int8")],
)
def test_a_variants_name_says_its_precision_before_its_engine(
    tmp_path: Path, variant: str, engine: str, precision: str
) -> None:
    (peer,) = peers_in(written(tmp_path))
    assert precision_of(peer, Variant(name=variant, command=(), engine=engine)) == precision


def test_a_mistake_in_a_peer_is_named_with_its_file_and_key(tmp_path: Path) -> None:
    with pytest.raises(SmithError, match=r"a_peer/peer\.toml: variants\.0\.enviroment: Extra"):
        peers_in(written(tmp_path, PEER.replace("environment", "enviroment")))


def test_every_committed_peer_can_be_read() -> None:
    names = [(peer.title, variant.name) for peer in peers_in() for variant in peer.variants]
    assert len(set(names)) == len(names)


def test_a_peer_that_does_not_install_is_an_error_with_pips_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (peer,) = peers_in(written(tmp_path))
    with pytest.raises(SmithError, match=r"does not install: ERROR: .*no-such-package-of-anyone"):
        installed(peer, tmp_path / "environments")


def test_a_peer_is_started_asked_and_ended_with_all_it_started(tmp_path: Path) -> None:
    (peer,) = peers_in(written(tmp_path))
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    start = starter(peer, peer.variants[0], Environment(folder), tmp_path)
    with start(tmp_path / "log") as live:
        vectors = live.roads["http"].ask(["a", "four"])
        found = processes(live.process.pid, live.mark)
        used, idle = memory_mib(found), idle_percent(found, 0.2)
    assert vectors[:, 0].tolist() == [1, 4]
    assert vectors[0, 1] >= 1
    assert len(found) == 2
    assert 2 < used < 200
    assert 0 <= idle < 100
    assert [process for process in found if psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_peer_that_ends_while_starting_is_an_error_with_its_last_word(tmp_path: Path) -> None:
    (peer,) = peers_in(written(tmp_path, server="raise SystemExit('Error: no model here')"))
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    start = starter(peer, peer.variants[0], Environment(folder), tmp_path)
    with (
        pytest.raises(SmithError, match="ended with exit code 1 while starting: Error: no model here"),
        start(tmp_path / "log"),
    ):
        pass
