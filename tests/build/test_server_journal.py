from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server import journal
from tritonsmith_build.server.journal import PATIENCE, Joiner, Journal, Lines, to_files
from tritonsmith_build.server.topology import Pipeline, Step
from tritonsmith_steps.journal import EVERY, PLACE
from tritonsmith_steps.journal import Journal as Told
from waiting import until

SECOND = 10**9


def pipeline(name: str, *steps: str) -> Pipeline:
    return Pipeline(name, {}, (name,), tuple(Step(step, 1, 1) for step in steps))


MOODS = pipeline("moods", "moods_tokenize", "moods_engine", "moods_classify")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def joiner(clock: Clock) -> Joiner:
    made = Joiner(clock)
    made.serves([MOODS])
    return made


def record(name: str, step: str, begin: float, end: float, outcome: str = "answered", **sizes: int) -> dict[str, Any]:
    times = {"begin": int(begin * SECOND), "end": int(end * SECOND)}
    return {"id": name, "model": f"moods_{step}", "version": 3, "outcome": outcome, **times, **sizes}


def read(lines: Iterator[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def told(joiner: Joiner, *records: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for one in records for line in read(joiner.told(one))]


def test_what_three_steps_tell_of_two_requests_becomes_two_lines(joiner: Joiner) -> None:
    assert told(joiner, record("a", "tokenize", 1, 1.001, rows=2, bytes=9), record("b", "tokenize", 1, 1.001)) == []
    assert told(joiner, record("b", "engine", 1.002, 1.02), record("a", "engine", 1.002, 1.03, rows=2, bytes=99)) == []
    first, second = told(joiner, record("b", "classify", 1.03, 1.031), record("a", "classify", 1.04, 1.0425))
    assert second == {
        "time": "1970-01-01T00:00:01.000+00:00",
        "id": "a",
        "pipeline": "moods",
        "version": 3,
        "outcome": "answered",
        "ms": 42.5,
        "rows": 2,
        "bytes": 9,
        "steps": {"tokenize": 1, "engine": 28, "classify": 2.5},
    }
    assert (first["id"], first["ms"], first["steps"]["engine"]) == ("b", 31, 18)
    assert read(joiner.rest()) == []


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_a_request_that_goes_wrong_is_over(joiner: Joiner, outcome: str) -> None:
    assert told(joiner, record("a", "tokenize", 1, 2)) == []
    (line,) = told(joiner, record("a", "engine", 2, 3, outcome))
    assert (line["pipeline"], line["outcome"], list(line["steps"])) == ("moods", outcome, ["tokenize", "engine"])


def test_what_triton_drops_between_two_steps_is_lost_after_a_minute(joiner: Joiner, clock: Clock) -> None:
    assert told(joiner, record("a", "tokenize", 1, 2)) == []
    clock.now = PATIENCE
    assert told(joiner, record("b", "tokenize", 61, 62)) == read(joiner.late()) == []
    clock.now += 1
    (line,) = read(joiner.late())
    assert (line["id"], line["outcome"], line["steps"]) == ("a", "lost", {"tokenize": 1000})
    (rest,) = read(joiner.rest())
    assert (rest["id"], rest["outcome"]) == ("b", "lost")


def test_a_request_that_is_sent_again_has_two_lines(joiner: Joiner) -> None:
    assert told(joiner, record("a", "tokenize", 1, 2)) == []
    (line,) = told(joiner, record("a", "tokenize", 5, 6))
    assert (line["outcome"], line["ms"]) == ("lost", 1000)
    (line,) = told(joiner, record("a", "classify", 7, 8))
    assert (line["outcome"], line["ms"]) == ("answered", 3000)


def test_each_step_has_a_line_of_its_own_where_there_is_no_id(joiner: Joiner) -> None:
    lines = told(joiner, record("", "tokenize", 1, 2), record("", "engine", 2, 3))
    assert [(line["id"], line["pipeline"], list(line["steps"])) for line in lines] == [
        (None, "moods", ["tokenize"]),
        (None, "moods", ["engine"]),
    ]


def test_it_remembers_no_more_than_so_many_requests(joiner: Joiner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_MOST", 100)
    lines = told(joiner, *(record(str(number), "tokenize", 1, 2) for number in range(130)))
    assert [line["id"] for line in lines] == [str(number) for number in range(30)]


def test_steps_are_heard_and_what_is_no_record_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    with Journal(Lines(lines.append, 5)) as heard:
        heard.serves([MOODS])
        place = heard.environment[PLACE]
        assert heard.environment[EVERY] == "5"
        assert Path(place).parent.stat().st_mode & 0o077 == 0
        for name, value in heard.environment.items():
            monkeypatch.setenv(name, value)
        Path(place).write_bytes(b'no JSON\n[1]\n{"id": "x"}\n{}\n"\xff\n\n7\n')
        told = Told.found("moods_classify", "1")
        assert told
        assert told(["a"], None, None, 1, 2) == 0
        until(lambda: len(lines) > 0, "no line")
        assert told([""], None, None, 1, 2) == 0
    assert [json.loads(line)["outcome"] for line in lines] == ["failed", "failed"]
    assert not Path(place).parent.exists()


def test_a_record_that_lacks_its_times_ends_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out when it has waited too long."""
    monkeypatch.setattr(journal, "PATIENCE", -1.0)
    lines: list[str] = []
    with Journal(Lines(lines.append, 1)) as heard:
        heard.serves([MOODS])
        place = Path(heard.environment[PLACE])
        place.write_text('{"id": "x", "model": "moods_tokenize", "outcome": "answered"}\n')
        place.write_text(json.dumps(record("a", "classify", 1, 2)) + "\n")
        until(lambda: len(lines) > 0, "no line", seconds=10)
    assert [json.loads(line)["id"] for line in lines] == ["a"]


@pytest.mark.parametrize("every", [0, -1])
def test_a_log_of_one_in_no_requests_is_refused(every: int) -> None:
    with pytest.raises(SmithError, match="--request-log-every"):
        Lines(print, every)


def test_files_are_begun_anew_where_one_is_full_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MEGABYTES", 1 / 1024)
    write = to_files(tmp_path / "logs" / "a.requests.jsonl")
    for number in range(1000):
        write(json.dumps({"number": number, "é": "ö"}, ensure_ascii=False))
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["a.requests.jsonl", *(f"a.requests.jsonl.{n}" for n in range(1, journal.FILES))]
    assert all(file.stat().st_size <= 1024 for file in files)
    numbers = [json.loads(line)["number"] for file in [files[0], *files[1:]] for line in file.read_text().splitlines()]
    assert sorted(numbers) == list(range(1000 - len(numbers), 1000))


def test_a_disk_that_takes_nothing_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write = to_files(Path("/dev/full"))
    write("a line")
    assert capsys.readouterr() == ("", "")
