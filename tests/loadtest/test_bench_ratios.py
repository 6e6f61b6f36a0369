"""The ratios of a run whose figures are known, and their verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.ratios import Ratio, ratios
from bench.results import load, save
from bench.shown import compared
from bench_results import made
from tritonsmith_build.errors import SmithError

BY_HAND = {
    "INT8, short, 32 at once: served ÷ in process": (0.90, "reached"),  # gRPC 900 of batch 8's 1000
    "INT8, mixed, 32 at once: served ÷ in process": (0.90, "reached"),
    "INT8, short, one at a time: p50 served − in process": (0.8, "reached"),  # HTTP's 2.5 - 1.7
    "INT8, mixed, one at a time: p50 served − in process": (2.3, "not reached"),
    "FP32, short, 32 at once, HTTP: ours ÷ best FP32 peer": (1.2, "reached"),  # not of the one with errors
    "FP32, short, 32 at once, HTTP: p99 ÷ best FP32 peer's": (0.8, "reached"),
    "BF16, short, 32 at once, HTTP: ours ÷ best FP32 peer": (1.8, "reached"),
    "INT8, short, 32 at once, HTTP: ours ÷ best FP32 peer": (4.0, "reached"),
    "INT8, short, 32 at once, HTTP: ours ÷ FastAPI + ONNX Runtime INT8": (1.6, "must reached, goal not"),
    "BF16: mean cosine to FP32": (0.99995, "reached"),
    "short, 32 at once, HTTP: our BF16 ÷ our FP32": (1.5, "not reached"),
    "INT8: memory ÷ median peer": (0.5, "reached"),
    "INT8: start-up ÷ median peer": (1.0, "reached"),
    "CPU of a core when idle, the greatest of ours": (0.4, "reached"),
}


def test_every_ratio_is_what_it_is_by_hand() -> None:
    found = {ratio.name: ratio for ratio in ratios(made())}
    assert {name: pytest.approx(value) for name, (value, _) in BY_HAND.items()} == {
        name: ratio.value for name, ratio in found.items()
    }
    assert {name: verdict for name, (_, verdict) in BY_HAND.items()} == {name: r.verdict for name, r in found.items()}
    assert found["FP32, short, 32 at once, HTTP: ours ÷ best FP32 peer"].beside == "Fast peer"
    assert found["INT8, short, 32 at once, HTTP: ours ÷ best FP32 peer"].beside == "Fast peer; over gRPC 4.50 ×"


def test_what_was_not_measured_is_said_and_nothing_else_changes() -> None:
    results = made()
    results.loads = [row for row in results.loads if not row.server.startswith("tritonsmith fp32")]
    verdicts = {ratio.name: ratio.verdict for ratio in ratios(results)}
    gone = {name for name, verdict in verdicts.items() if verdict == "not measured"}
    assert gone == {name for name in BY_HAND if name.startswith("FP32") or "our FP32" in name}


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [
        (2.0, False, "reached"),
        (1.5, False, "must reached, goal not"),
        (1.4, False, "not reached"),
        (2.0, True, "reached"),
        (2.1, True, "not reached"),
    ],
)
def test_a_verdict_holds_up_to_its_bound(value: float, at_most: bool, verdict: str) -> None:
    assert Ratio("r", value, 2.0, None if at_most else 1.5, at_most=at_most).verdict == verdict


def test_results_come_back_as_they_were_saved(tmp_path: Path) -> None:
    save(made(), tmp_path / "run.json")
    assert load(tmp_path / "run.json") == made()
    with pytest.raises(SmithError, match="make bench"):
        load(tmp_path / "other.json")


def test_two_runs_are_compared_ratio_by_ratio() -> None:
    slower = made()
    for row in slower.loads:
        if (row.server, row.road, row.concurrency) == ("ort8", "http", 32):
            row.per_second /= 1.25
    _, moved = compared(ratios(made()), ratios(slower))
    assert moved == ["INT8, short, 32 at once, HTTP: ours ÷ FastAPI + ONNX Runtime INT8"]
    assert compared(ratios(made()), ratios(made()))[1] == []
