"""Load tests against the real server: Locust's counts beside Triton's, limits, an open loop, several workers."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from served import ROOT, Served

LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
BOTH = [{"name": "sentiment", "weight": 2, "batch": [1, 4], "unique": 0.5}, {"name": "embeddings"}]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "loadtest"), os.environ.get("PYTHONPATH", "")])}


def scenario(folder: Path, load: dict[str, Any], pipelines: list[dict[str, Any]], **gates: float) -> Path:
    file = folder / "scenario.toml"
    file.write_text(tomli_w.dumps({"load": load, "pipelines": pipelines, "gates": gates}))
    return file


def loaded(file: Path, url: str, served: Served) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What the command said, and the figures it left."""
    report = file.parent / "report"
    command = [
        sys.executable,
        "-m",
        "load",
        "run",
        str(file),
        "--url",
        url,
        "--metrics-url",
        served.metrics,
        "--report",
        str(report),
    ]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr
    figures = report / "result.json"
    return done, json.loads(figures.read_text()) if figures.exists() else {}


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.full)])
def test_every_answer_is_checked_and_triton_counted_the_same_requests(fp32: Served, tmp_path: Path, protocol: str) -> None:
    file = scenario(tmp_path, {"seconds": 5, "users": 6}, BOTH, p99_ms=60_000)
    done, result = loaded(file, getattr(fp32, protocol), fp32)
    assert done.returncode == 0, done.stderr
    assert result["holds"]
    assert result["problems"] == []
    rows = {row["name"]: row for row in result["rows"]}
    assert rows.keys() == {f"{protocol} {name}" for name in ("sentiment [1]", "sentiment [4]", "embeddings [1]")}
    assert rows[f"{protocol} embeddings [1]"]["mean_bytes"] == 384 * 4 + 1  # the vector, and whether the text was cut
    counted = {step["model"]: step["requests"] for step in result["steps"]}
    for name in ("sentiment", "embeddings"):
        sent = sum(row["requests"] for key, row in rows.items() if f" {name} [" in key)
        assert {counted[model] for model in counted if model.startswith(name)} == {sent}
    assert result["totals"]["requests"] == sum(row["requests"] for row in rows.values()) > 6
    with (tmp_path / "report" / "seconds.csv").open(newline="") as table:
        seconds = list(csv.DictReader(table))
    assert len(seconds) >= 5
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "All limits hold" in page


def test_in_an_open_loop_requests_come_at_their_rate_whatever_becomes_of_them(fp32: Served, tmp_path: Path) -> None:
    load = {"seconds": 10, "users": 3, "loop": "open", "rate": 20}
    done, result = loaded(scenario(tmp_path, load, [{"name": "embeddings"}]), fp32.grpc, fp32)
    assert done.returncode == 0, done.stderr
    # Five standard deviations of a Poisson process; the first second has no user yet.
    assert abs(result["totals"]["requests"] - 9.5 * 20) < 5 * (10 * 20) ** 0.5
    assert result["loop"].startswith("open loop")


def test_a_broken_limit_is_the_exit_code(fp32: Served, tmp_path: Path) -> None:
    file = scenario(tmp_path, {"seconds": 3, "users": 2}, [{"name": "embeddings"}], p50_ms=0.001)
    done, result = loaded(file, fp32.grpc, fp32)
    assert done.returncode == 1
    assert not result["holds"]
    assert "p50_ms" in done.stderr
    assert "A limit is broken" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("pipelines", "url", "said"),
    [
        ([{"name": "nope"}], "", "unknown model: 'nope'"),
        ([{"name": "embeddings"}], "grpc://127.0.0.1:9", "grpc://127.0.0.1:9 cannot be reached"),
        ([{"name": "embeddings"}], "ftp://127.0.0.1", "write for example grpc://localhost:8001"),
    ],
    ids=["no pipeline", "no server", "no address"],
)
def test_what_cannot_be_asked_is_said_before_any_load(
    fp32: Served, tmp_path: Path, pipelines: list[dict[str, Any]], url: str, said: str
) -> None:
    done, result = loaded(scenario(tmp_path, {"seconds": 60, "users": 2}, pipelines), url or fp32.grpc, fp32)
    assert done.returncode not in (0, 1)
    assert said in done.stderr
    assert result == {}


def test_two_workers_share_the_users_and_the_master_adds_up(fp32: Served, tmp_path: Path) -> None:
    file = scenario(tmp_path, {"seconds": 6, "users": 4}, [{"name": "embeddings"}], p99_ms=60_000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    locust = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--scenario", str(file)]
    master = [*locust, "--master", "--headless", "--expect-workers=2", "--master-bind-host=127.0.0.1"]
    options = ["--master-bind-port", port, "--host", fp32.grpc, "--metrics-url", fp32.metrics, "--report", str(tmp_path)]
    worker = [*locust, "--worker", "--master-host=127.0.0.1", "--master-port", port]
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in ([*master, *options], worker, worker)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    result = json.loads((tmp_path / "result.json").read_text())
    (row,) = result["rows"]
    (engine,) = (step for step in result["steps"] if step["model"] == "embeddings_engine")
    # Each of the two has asked in two requests what it would hold answers against, after the first reading.
    assert engine["requests"] - row["requests"] == 4
    assert row["requests"] > 4
    assert row["errors"] == 0
    assert max(window["users"] for window in result["windows"]) == 4
