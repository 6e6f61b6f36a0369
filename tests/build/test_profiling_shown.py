"""A profile as a table, as JSON and as a picture."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from test_profiling_advice import STEPS, flat, use
from tritonsmith_build.extras import need
from tritonsmith_build.profiling.advice import situation_of, verdict_of
from tritonsmith_build.profiling.asking import ASKED
from tritonsmith_build.profiling.plot import draw, parts_of
from tritonsmith_build.profiling.sweep import Plan, Profile
from tritonsmith_build.profiling.table import show
from tritonsmith_build.progress import Progress
from workbench import python


@pytest.fixture
def profiled() -> Profile:
    steps = tuple(
        replace(
            use(step.model, 0.9 if "engine" in step.model else 0.1), requests=900, executions=150, queue_ms=1.0, infer_ms=3.0
        )
        for step in STEPS
    )
    steps = tuple(replace(step, request_ms=4.0) for step in steps)
    levels = [replace(level, steps=steps) for level in flat()]
    levels[2] = replace(levels[2], errors={"overloaded": 12}, error_messages={"overloaded": "the queue is full"})
    situation = situation_of(levels, STEPS, engine="moods_engine", batch=1)
    assert situation is not None
    plan = Plan("moods", "grpc://localhost:8001", (1, 8, 64), 3.0, 1)
    return Profile(plan, ASKED["TEXT"], 2, "moods_engine", tuple(levels), situation.level, verdict_of(situation, levels))


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_has_each_level_the_knees_steps_and_what_to_do(profiled: Profile, width: int) -> None:
    screen = io.StringIO()
    show(profiled, Console(file=screen, width=width, force_terminal=True, no_color=True))
    text = screen.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    lines = [line.split() for line in text.splitlines()]
    assert "closed loop" in text
    assert ["1", "100", "100", "19.0", "30.0", "40.0", "0", "6.0", "0", "%", "10", "%"] in lines
    assert any(line[:2] == ["64", "301"] and "12" in line for line in lines)
    assert "overloaded: the queue is full" in text
    assert "the knee is at 8 in flight" in text
    assert ["moods_engine", "90", "%", "0.0", "6.0", "1.00", "0.00", "3.00", "0.00", "4.00"] in lines
    assert ["outside", "the", "steps", "8.00"] in lines
    assert "bottleneck  moods_engine works 90 % of the time, with 6.0 rows a batch" in text
    assert "engine.precision, input.max_length, serving.max_queue_size" in text


def test_json_has_everything(profiled: Profile) -> None:
    said = json.loads(json.dumps(profiled.as_dict()))
    assert [level["concurrency"] for level in said["levels"]] == [1, 8, 64]
    assert [step["model"] for step in said["levels"][1]["steps"]] == [step.model for step in STEPS]
    assert (said["knee"], said["verdict"]["bottleneck"], said["distinct_texts"]) == (8, "moods_engine", 2)
    assert said["loop"].startswith("closed loop")


def test_the_parts_of_a_bar_add_up_to_the_mean_latency(profiled: Profile) -> None:
    parts = parts_of(profiled.levels)
    assert len({(colour, hatch) for _, _, colour, hatch in parts}) == len(parts) == 7
    # Of 12 ms in the steps (4 each, a quarter of it queueing) and 8 outside.
    assert [sum(heights[level] for _, heights, _, _ in parts) for level in range(3)] == pytest.approx([20.0] * 3)
    assert parts[0][1] == pytest.approx([1.0] * 3)


def test_the_picture_is_a_png(profiled: Profile, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(profiled, tmp_path / "profile.png")
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_picture_needs_matplotlib_alone_and_says_so_before_anything_is_sent() -> None:
    main = "from tritonsmith_build.cli import main\nmain()\n"
    ended = python(main, "profile", "moods", "--url", "grpc://127.0.0.1:1", "--plot", "x.png", hidden=["matplotlib"])
    assert (ended.returncode, ended.stderr) == (
        1,
        "error matplotlib is not installed; run: pip install 'tritonsmith[loadtest]'\n",
    )
    ended = python(main, "profile", "moods", "--url", "grpc://127.0.0.1:1", hidden=["matplotlib", "locust"])
    assert "cannot be reached" in ended.stderr


def test_of_an_extra_one_module_may_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonsmith_build.extras.missing", lambda _: ["locust"])
    need("loadtest", "matplotlib")
    with pytest.raises(Exception, match="locust is not installed"):
        need("loadtest")


def test_the_bar_knows_how_much_is_left() -> None:
    screen = io.StringIO()
    progress = Progress(Console(file=screen, width=100, force_terminal=True))
    with progress.planned("moods", 20.0) as passed:
        passed(5.0, "1 in flight")
        passed(10.0, "2 in flight")
    assert "moods: 2 in flight, about 5 s left" in screen.getvalue()
