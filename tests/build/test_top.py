"""What `tritonsmith top` makes of two looks at a metrics page."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from tritonsmith_build.errors import SmithError
from tritonsmith_build.top.page import Page, fetched, parsed
from tritonsmith_build.top.rows import Row, rows
from tritonsmith_build.top.shown import saved, table

STEPS = ("tokenize", "engine", "classify")


def page(
    at: float, *, name: str = "mood", requests: int, failures: int = 0, refused: int = 0, hits: int = 0, drift: float = 0.1
) -> Page:
    """A server's, whose pipeline has had so many requests, two a batch."""
    models = (name, f"{name}_cached", *(f"{name}_{step}" for step in STEPS))
    lines = ["# TYPE nv_inference_request_success counter", "# TYPE tritonsmith_requests_total counter"]
    lines += [f'nv_inference_request_success{{model="{model}",version="1"}} {requests}' for model in models]
    lines += [f'nv_inference_request_failure{{model="{name}",reason="OTHER",version="1"}} {2 * (failures + refused)}']
    lines += [f'tritonsmith_requests_total{{model="{name}_tokenize",outcome="refused"}} {refused}']
    lines += [f'nv_inference_count{{model="{name}_engine",version="1"}} {requests}']
    lines += [f'nv_inference_exec_count{{model="{name}_engine",version="1"}} {requests / 2}']
    lines += [
        f'nv_inference_pending_request_count{{model="{name}_{step}",version="1"}} {5 * n}' for n, step in enumerate(STEPS)
    ]
    for part, each in (("queue", 5), ("compute_infer", 10)):
        for step, share in (("tokenize", 1), ("engine", 8), ("classify", 1)):
            lines += [f'nv_inference_{part}_duration_us{{model="{name}_{step}",version="1"}} {requests * each * share}']
    lines += [f'nv_inference_request_summary_us{{model="{name}",version="1",quantile="0.5"}} {4500 if requests else "Nan"}']
    lines += [f'nv_inference_request_summary_us{{model="{name}",version="1",quantile="0.99"}} {9000 if requests else "Nan"}']
    lines += [f'nv_cache_num_hits_per_model{{model="{name}_cached",version="1"}} {hits}']
    lines += [f'nv_cache_num_misses_per_model{{model="{name}_cached",version="1"}} {requests - hits}']
    for measure, over in (("psi", drift), ("js", drift / 2)):
        labels = f'{{model="{name}_tokenize",feature="length",measure="{measure}"}}'
        lines += [f"tritonsmith_drift{labels} {over * 0.25}", f"tritonsmith_drift_limit{labels} 0.25"]
    return parsed("\n".join(lines) + "\n", at)


def only(before: Page, now: Page) -> Row:
    (row,) = rows(before, now)
    return row


def test_a_row_is_what_happened_between_two_looks() -> None:
    row = only(page(10.0, requests=100, refused=1), page(14.0, requests=180, failures=9, refused=5, hits=20))
    assert row == Row(
        pipeline="mood",
        answered=20.0,
        failed=2.0,  # 9 in 4 s, and a quarter for mistakes that are not told yet
        refused=1.0,
        p50_ms=4.5,
        p99_ms=9.0,
        waiting=10,
        batch=2.0,
        cached=0.25,
        steps={"classify": 0.1, "engine": 0.8, "tokenize": 0.1},
        drift={"length": 0.1},
    )


def test_a_server_at_rest_has_no_means() -> None:
    row = only(page(0.0, requests=0), page(1.0, requests=0))
    assert (row.answered, row.p50_ms, row.p99_ms, row.batch, row.cached, row.steps) == (0.0, None, None, None, None, {})


def test_a_server_that_was_started_anew_counts_from_zero() -> None:
    assert only(page(0.0, requests=500), page(2.0, requests=30)).answered == 15.0


def test_a_pipeline_whose_name_begins_with_anothers_keeps_its_own_steps() -> None:
    first, second = page(0.0, requests=1), page(0.0, name="mood_large", requests=1)
    both = Page(0.0, {name: (*first.samples[name], *second.samples[name]) for name in first.samples})
    assert both.pipelines == ["mood", "mood_large"]
    assert both.steps("mood") == ["mood_classify", "mood_engine", "mood_tokenize"]
    assert both.steps("mood_large") == ["mood_large_classify", "mood_large_engine", "mood_large_tokenize"]


def text_of(row: Row) -> str:
    console = Console(width=200, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(table([row]))
    return console.export_text()


def test_what_has_drifted_is_named() -> None:
    assert "length 3.0 x" in text_of(only(page(0.0, requests=0), page(1.0, requests=9, drift=3.0)))
    assert "none (50%)" in text_of(only(page(0.0, requests=0), page(1.0, requests=9, drift=0.5)))


def test_a_table_is_kept_as_a_picture(tmp_path: Path) -> None:
    saved(rows(page(0.0, requests=0), page(1.0, requests=9)), tmp_path / "top.svg", "what it is of")
    picture = (tmp_path / "top.svg").read_text()
    assert picture.startswith("<svg")
    assert "mood" in picture
    assert "what&#160;it&#160;is&#160;of" in picture or "what it is of" in picture


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense"])
def test_no_page_is_an_error_that_says_what_to_give(url: str) -> None:
    with pytest.raises(SmithError, match=r"no metrics page: .*give the metrics port") as caught:
        fetched(url)
    assert str(caught.value.where).startswith(url)
