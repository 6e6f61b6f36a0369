"""Users that are greenlets wait for the server alone, and not for each other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from tiny_triton import Classes, TinyPipeline, grpc_server

USERS = 120
PATIENCE = 10
SCRIPT = f"""
from gevent import monkey
monkey.patch_all()
import os, sys
import gevent
from tritonsmith.calls import column
from load.wire import MeasuredTransport, address_of

wire = MeasuredTransport(address_of(sys.argv[1], timeout={PATIENCE}))
asking = [gevent.spawn(wire.infer, "demo", {{"TEXT": column([b"a"])}}, {PATIENCE}) for _ in range({USERS})]
gevent.joinall(asking)
failed = [repr(one.exception) for one in asking if one.exception]
print(len(failed), *failed[:1], file=sys.stderr, flush=True)
os._exit(bool(failed))
"""


def test_all_requests_of_a_process_are_under_way_at_once() -> None:
    together = threading.Barrier(USERS)

    def answer(texts: list[bytes]) -> Classes:
        together.wait(PATIENCE)  # broken where one of them is not sent before others are answered
        return [[(text, 1.0)] for text in texts]

    loadtest = Path(__file__).parents[2] / "loadtest"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(loadtest), os.environ.get("PYTHONPATH", "")])}
    with grpc_server(TinyPipeline(answer), workers=USERS) as url:
        command = [sys.executable, "-c", SCRIPT, url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
