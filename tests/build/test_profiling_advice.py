"""Which bottleneck a sweep shows, and what is said of it."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.profiling.advice import ADVICE, NOTES, REFUSALS, Verdict, situation_of, verdict_of
from tritonsmith_build.profiling.levels import Level
from tritonsmith_build.profiling.statistics import Step, StepUse

ROOT = Path(__file__).parents[2]
NAMES = ("moods_tokenize", "moods_engine", "moods_classify")
STEPS = [Step(name, 1, 1, 32) for name in NAMES]


def use(model: str, busy: float, rows: float = 6.0) -> StepUse:
    zeros = dict.fromkeys((field.name for field in fields(StepUse)), 0)
    return StepUse(**{**zeros, "model": model, "busy_share": busy, "batch_rows": rows, "instances": 1})  # type: ignore[arg-type]


def level(concurrency: int = 8, rate: float = 300.0, busy: tuple[float, ...] = (0.1, 0.2, 0.1), **changed: Any) -> Level:
    """A level at which nothing is the limit."""
    requests = int(3 * rate)
    made = Level(
        concurrency=concurrency,
        seconds=3.0,
        requests=requests,
        uncounted_requests=0,
        requests_per_second=rate,
        items_per_second=rate,
        latency_ms={"mean": 20.0, "p50": 19.0, "p95": 30.0, "p99": 40.0},
        errors={},
        error_messages={},
        client_loop_share=0.1,
        client_cores=0.2,
        server_answers=requests,
        cache_hit_share=0.0,
        steps=tuple(use(name, share, changed.pop("rows", 6.0)) for name, share in zip(NAMES, busy, strict=True)),
        steps_ms=12.0,
        outside_ms=8.0,
    )
    return replace(made, **changed)


def verdict(*levels: Level, batch: int = 1) -> Verdict:
    situation = situation_of(levels, STEPS, engine="moods_engine", batch=batch)
    assert situation is not None
    return verdict_of(situation, levels)


ENGINE = (0.1, 0.97, 0.1)


def with_rows(made: Level, rows: float) -> Level:
    return replace(made, steps=tuple(replace(step, batch_rows=rows) for step in made.steps))


def flat(**changed: Any) -> list[Level]:
    """A sweep whose knee is its middle: more in flight gives no more."""
    return [level(1, 100.0), level(8, 300.0, **changed), level(64, 301.0, **changed)]


@pytest.mark.parametrize(
    ("levels", "kind", "bottleneck", "knobs"),
    [
        (flat(busy=ENGINE), "engine", "moods_engine", ["engine.precision", "input.max_length"]),
        (
            [with_rows(one, 31.0) for one in flat(busy=ENGINE)],
            *("engine", "moods_engine", ["engine.max_batch_size", "engine.precision", "input.max_length"]),
        ),
        ([with_rows(one, 1.1) for one in flat(busy=ENGINE)], "engine", "moods_engine", ["serving.max_queue_delay_us"]),
        (
            [with_rows(one, 1.1) for one in flat(busy=ENGINE)[:2]],
            *("engine", "moods_engine", ["--concurrency", "serving.max_queue_delay_us"]),
        ),
        (flat(busy=(0.9, 0.3, 0.1)), "step", "moods_tokenize", ["--batch"]),
        (flat(busy=(0.1, 0.3, 0.9)), "step", "moods_classify", ["--batch"]),
        (flat(busy=(0.1, 0.3, 0.1), client_loop_share=0.95), "client", "the client", ["--batch"]),
        (
            flat(busy=(0.1, 0.9, 0.1), client_loop_share=0.95),
            "engine",
            "moods_engine",
            ["engine.precision", "input.max_length"],
        ),
        (flat(busy=(0.1, 0.3, 0.1)), "outside", "outside the steps", ["--url", "--batch"]),
        (flat(busy=(0.1, 0.3, 0.1))[:2], "sweep", "nothing yet", ["--concurrency"]),
        (flat(busy=(0.0, 0.0, 0.0), cache_hit_share=0.99), "cache", "the response cache", ["serving.cache", "--data"]),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_bottleneck_has_its_knob(levels: list[Level], kind: str, bottleneck: str, knobs: list[str]) -> None:
    said = verdict(*levels)
    assert (said.kind, said.bottleneck, list(said.knobs), said.notes) == (kind, bottleneck, knobs, ())


def test_the_sentence_has_the_figures_of_the_knee() -> None:
    assert verdict(*flat(busy=ENGINE)).says == "moods_engine works 97 % of the time, with 6.0 rows a batch"
    said = verdict(*flat(busy=(0.1, 0.3, 0.2))).says
    assert (
        said == "no step: moods_engine, the busiest, works 30 % of the time; 8.0 of 20.0 ms of an answer pass outside the steps"
    )


def test_rows_are_few_for_what_is_in_flight_not_for_what_a_batch_may_hold() -> None:
    two_callers = [level(1, 100.0), with_rows(level(2, 150.0, ENGINE), 1.5), level(4, 151.0, ENGINE)]
    assert "serving.max_queue_delay_us" not in verdict(*two_callers).knobs
    assert "serving.max_queue_delay_us" in verdict(*two_callers, batch=8).knobs


@pytest.mark.parametrize(
    ("changed", "note", "knob"),
    [
        ({"cache_hit_share": 0.3}, "30 % of the answers came from the response cache", "serving.cache"),
        ({"errors": {"overloaded": 9}}, "a step's queue was full", "serving.max_queue_size"),
        ({"errors": {"request timeout": 9}}, "requests waited too long", "serving.timeout_ms"),
    ],
)
def test_what_colours_the_figures_is_noted(changed: dict[str, Any], note: str, knob: str) -> None:
    said = verdict(*flat(busy=ENGINE, **changed))
    assert said.kind == "engine"
    assert [line[: len(note)] for line in said.notes] == [note]
    assert said.knobs[-1] == knob


def test_a_queue_that_takes_long_is_noted_with_the_length_that_takes_a_second() -> None:
    def notes(waiting: int) -> tuple[str, ...]:
        steps = [replace(step, max_queue_size=waiting) for step in STEPS]
        situation = situation_of(flat(busy=ENGINE), steps, engine="moods_engine", batch=1)
        assert situation is not None
        return verdict_of(situation, []).notes

    assert notes(600) == ()  # two seconds at 300 a second
    (note,) = notes(1500)
    assert note.startswith("of 1500 waiting requests the last would be answered after 5 s")
    assert "a queue of 300 takes a second" in note


def test_refusals_beyond_the_knee_are_noted_too() -> None:
    levels = flat(busy=ENGINE)
    assert verdict(*levels[:2], replace(levels[2], errors={"overloaded": 1})).notes


def test_other_callers_are_noticed_but_not_the_windows_edges() -> None:
    ours = level(8, 300.0, ENGINE)
    at_the_edge = replace(ours, server_answers=ours.requests + 8)
    assert not verdict(level(1, 100.0), at_the_edge, level(64, 301.0)).notes
    (note,) = verdict(level(1, 100.0), replace(ours, server_answers=ours.requests + 500), level(64, 301.0)).notes
    assert note.startswith("the server answered 500 requests of other callers")


def test_nothing_is_said_where_nothing_was_answered() -> None:
    assert situation_of([level(1, 0.0)], STEPS, engine="moods_engine", batch=1) is None


def test_every_knob_is_a_key_of_the_spec_or_an_option_of_the_command() -> None:
    keys = set(re.findall(r"`([a-z]+\.[a-z_]+)`", (ROOT / "docs" / "spec.md").read_text()))
    source = (
        (ROOT / "build" / "tritonsmith_build" / "cli.py").read_text().partition("def profile(")[2].partition(") -> None")[0]
    )
    options = {f"--{name}" for name in re.findall(r"^    (\w+): ", source, re.MULTILINE)}
    rows = [*ADVICE, *NOTES, *REFUSALS.values()]
    assert {knob for row in rows for knob in row.knobs} <= keys | options
    assert {word for row in rows for word in re.findall(r"[a-z]+\.[a-z]+_[a-z_]+", row.says)} <= keys
