"""Scenarios: what can be written, what is said of what cannot, and how many users there are when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from load.scenario import Load, scenario_from_file
from load.shapes import users_at
from tritonsmith_build.errors import SmithError

SCENARIOS = Path(__file__).parents[2] / "loadtest" / "scenarios"
GOOD: dict[str, Any] = {"load": {"seconds": 30, "users": 8}, "pipelines": [{"name": "moods"}]}


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "scenario.toml"
    file.write_text(tomli_w.dumps(GOOD | changes))
    return file


@pytest.mark.parametrize("file", sorted(SCENARIOS.glob("*.toml")), ids=lambda file: file.stem)
def test_the_scenarios_of_this_project_read(file: Path) -> None:
    assert scenario_from_file(file).pipelines


def test_data_lies_beside_the_scenario_and_nothing_is_asked_but_no_errors(tmp_path: Path) -> None:
    scenario = scenario_from_file(written(tmp_path, pipelines=[{"name": "moods", "data": "own.txt"}]))
    assert scenario.pipelines[0].data == tmp_path / "own.txt"
    assert scenario.gates.model_dump(exclude_none=True) == {"error_share": 0.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"load": {"seconds": 30, "users": 8, "loop": "open"}}, "load: Value error, rate belongs to an open loop"),
        ({"load": {"seconds": 30, "users": 8, "rate": 9}}, "load: Value error, rate belongs to an open loop"),
        ({"load": {"seconds": 30, "users": 8, "shape": "spike"}}, "load: Value error, spike_users belongs to a spike"),
        ({"load": {"seconds": 30, "users": 0}}, "load.users: Input should be greater than 0"),
        ({"pipelines": []}, "pipelines: Tuple should have at least 1 item"),
        ({"pipelines": [{"name": "moods", "uniq": 1}]}, "pipelines.0.uniq: Extra inputs are not permitted"),
        ({"gates": {"error_share": 2}}, "gates.error_share: Input should be less than or equal to 1"),
    ],
)
def test_what_cannot_be_is_named_by_file_and_key(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = written(tmp_path, **changes)
    with pytest.raises(SmithError) as caught:
        scenario_from_file(file)
    assert str(caught.value).startswith(f"{file}: {said}")


@pytest.mark.parametrize("content", [None, b"[load", b"\xff"], ids=["missing", "no TOML", "no UTF-8"])
def test_a_file_that_does_not_read_is_an_error_of_one_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "scenario.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SmithError) as caught:
        scenario_from_file(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.integers(1, 10), st.integers(0, 200), st.floats(1, 1000))
def test_a_ramp_doubles_to_its_users_and_ends(steps: int, extra: int, seconds: float) -> None:
    load = Load(shape="ramp", seconds=seconds, users=2 ** (steps - 1) + extra, steps=steps)
    levels = [users_at(load, seconds * (step + 0.5) / steps) for step in range(steps)]
    assert levels == [load.users // 2 ** (steps - 1 - step) for step in range(steps)]
    assert levels[-1] == load.users
    assert users_at(load, seconds) is None


def test_a_ramp_of_more_levels_than_users_never_has_none() -> None:
    load = Load(shape="ramp", seconds=10, users=2, steps=5)
    assert [users_at(load, 1 + 2 * step) for step in range(5)] == [1, 1, 1, 1, 2]


def test_a_spike_is_in_the_middle_third() -> None:
    load = Load(shape="spike", seconds=30, users=2, spike_users=9)
    assert [users_at(load, second) for second in (0, 9.9, 10, 19.9, 20, 29.9, 30)] == [2, 2, 9, 9, 2, 2, None]
