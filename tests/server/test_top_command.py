"""`tritonsmith top` beside a real server under light load."""

from __future__ import annotations

import json
import subprocess
import sys

from monitor.load import light_load
from served import Served

TEXTS = ["A delight.", "A bore, from start to finish.", "It was fine."]


def test_top_shows_what_a_server_does(fp32: Served) -> None:
    command = [sys.executable, "-m", "tritonsmith_build", "top", f"--url={fp32.metrics}", "--once", "--json", "--every=2"]
    with light_load(fp32.grpc, "sentiment", TEXTS):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = {row["pipeline"]: row for row in json.loads(done.stdout)}
    assert rows.keys() == {"sentiment", "embeddings"}
    row = rows["sentiment"]
    assert row["answered"] > 1
    assert row["refused"] > 0
    assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert row["steps"].keys() == {"tokenize", "engine", "classify"}
    assert row["batch"] >= 1
    assert row["cached"] is None  # it serves without
    assert rows["embeddings"]["answered"] == 0
