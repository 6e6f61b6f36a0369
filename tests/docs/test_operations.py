"""The page on operations names every metric, as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonsmith_steps.meters import GAUGES, METRICS, Metric

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


TOLD = {**METRICS, **GAUGES}


@pytest.mark.parametrize("metric", TOLD.values(), ids=TOLD)
def test_every_metric_stands_on_the_page_with_its_label_and_meaning(metric: Metric) -> None:
    label = f"`{metric.label}`" if metric.label else ""
    assert f"| `{metric.title}` | {label} | {metric.description} |" in PAGE


def test_no_metric_stands_there_that_is_not_counted() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `tritonsmith_")]
    assert len(rows) == len(TOLD)
