"""The page says what was measured, on what, and how to do it again."""

from __future__ import annotations

from pathlib import Path

from bench.notes import sections
from bench.page import SECTIONS, page
from bench.plots import draw
from bench.ratios import ratios
from bench_results import made


def line_with(text: str, start: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line


def test_the_page_has_every_ratio_with_goal_must_and_verdict() -> None:
    text = page(made())
    for ratio in ratios(made()):
        line = line_with(text, f"| {ratio.name} |")
        assert f"| {ratio.shown} | {ratio.shown_goal} | {ratio.shown_must} | {ratio.verdict} |" in line


def test_the_page_says_machine_versions_commit_and_command() -> None:
    text = page(made())
    for said in (
        "Some CPU, 2 cores, 8.0 GiB",
        "openvino 9.8.7",
        "abc123def456",
        "`python -m bench run --seconds 3`",
        "45 minutes",
    ):
        assert said in text
    assert "share the cores" in text
    assert "torch 7.7.7" in line_with(text, "| Slow peer | torch fp32 | torch")


def test_a_server_has_its_medians_and_their_spread() -> None:
    line = line_with(page(made()), "| **tritonsmith INT8**, gRPC | openvino bf16 |")
    assert "| 900 (450–990) |" in line
    assert line.endswith("| 0 |")
    assert line_with(page(made()), "| Faulty peer | torch fp32 | 1250").endswith("| 12 |")


def test_what_could_not_be_measured_is_named_with_its_reason() -> None:
    assert "- **Gone peer** was not measured: gone: does not install" in page(made())


def test_a_part_without_figures_is_left_out() -> None:
    text = page(made())
    assert "## The response cache" not in text
    assert "## Text length" in text
    assert "## Requests at once" not in text


def test_what_calling_costs_is_shown_by_core_and_by_clock() -> None:
    text = page(made())
    assert line_with(text, "| Client, gRPC | 1 |") == "| Client, gRPC | 1 | 3100 (3000–3200) | 1500 (1500–1500) |"
    assert line_with(text, "| a new one for each call | 1 |").startswith("| a new one for each call | 1 | 400 (300–500) |")


def test_notes_come_at_the_end_of_their_section_and_others_last() -> None:
    notes = sections("intro\n\n## Text length\n\nIt bends.\n\n## On paper\n\n2 + 2.\n")
    text = page(made(), notes)
    part = text[text.index("## Text length") : text.index("## The client")]
    assert part.strip().endswith("It bends.")
    assert text.endswith("## On paper\n\n2 + 2.\n")
    assert next(iter(SECTIONS)) == "Ratios"


def test_pictures_are_drawn(tmp_path: Path) -> None:
    results = made()
    results.growth = []
    assert [file.name for file in draw(results, tmp_path)] == ["latency-short.png", "latency-mixed.png"]
    assert all(file.stat().st_size > 10_000 for file in tmp_path.iterdir())
