"""Users that are greenlets wait for the server alone, and not for each other: gevent's ten threads would make them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from tiny_triton import Classes, TinyPipeline, grpc_server

USERS = 30
PATIENCE = 10
SCRIPT = f"""
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from tritonsmith.calls import column
from load.wire import MeasuredTransport, address_of

wire = MeasuredTransport(address_of(sys.argv[1], timeout={PATIENCE}))
for _ in range({USERS}):
    gevent.spawn(wire.infer, "demo", {{"TEXT": column([b"slow"])}}, 60, "")
gevent.sleep(0)
quick = gevent.spawn(wire.infer, "demo", {{"TEXT": column([b"quick"])}}, 60, "")
quick.join({PATIENCE})
os._exit(not quick.successful())
"""


def test_one_that_is_answered_at_once_does_not_wait_for_those_before_it() -> None:
    over = threading.Event()

    def answer(texts: list[bytes]) -> Classes:
        if texts == [b"slow"]:
            over.wait(60)
        return [[(text, 1.0)] for text in texts]

    loadtest = Path(__file__).parents[2] / "loadtest"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(loadtest), os.environ.get("PYTHONPATH", "")])}
    with grpc_server(TinyPipeline(answer), workers=USERS + 1) as url:
        command = [sys.executable, "-c", SCRIPT, url]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        finally:
            over.set()
    assert done.returncode == 0, done.stderr
