from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_step_serve import model, texts
from triton_modules import Triton
from tritonsmith_build.server.wire import CANARY
from tritonsmith_steps.journal import EVERY, PLACE, Journal, Record


@dataclass(frozen=True)
class Reader:
    place: str
    pipe: int

    def read(self) -> list[Record]:
        """All that was told so far."""
        told = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                told += os.read(self.pipe, 2**20)
        return [json.loads(line) for line in told.splitlines()]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    place = str(tmp_path / "journal")
    os.mkfifo(place)
    pipe = os.open(place, os.O_RDWR | os.O_NONBLOCK)
    yield Reader(place, pipe)
    os.close(pipe)


def asked(count: int) -> list[Any]:
    return [{"TEXT": texts(b"four")} for _ in range(count)]


def test_every_step_tells_of_the_same_requests_one_of_so_many(reader: Reader) -> None:
    ids = [f"request {number}" for number in range(4000)]
    first, second = (Journal(name, "2", reader.place, 10) for name in ("demo_tokenize", "demo_engine"))
    of_first = set()
    for start in range(0, 4000, 500):  # a pipe keeps no more than so many
        assert first(ids[start : start + 500], asked(500), asked(500), 1, 2) == 0
        of_first |= {record["id"] for record in reader.read()}
    of_second = set()
    for name in reversed(ids):
        assert second([name], asked(1), asked(1), 1, 2) == 0
        of_second |= {record["id"] for record in reader.read()}
    assert of_first == of_second
    assert 300 < len(of_first) < 500


def test_what_has_no_id_is_chosen_by_chance(reader: Reader) -> None:
    journal = Journal("demo_tokenize", "1", reader.place, 10)
    told = 0
    for _ in range(8):
        assert journal([""] * 500, asked(500), asked(500), 1, 2) == 0
        told += len(reader.read())
    assert 300 < told < 500


def test_what_went_wrong_is_always_told_with_its_sizes_and_nothing_of_its_content(reader: Reader) -> None:
    journal = Journal("demo_tokenize", "7", reader.place, 10**9)
    given = [{"TEXT": texts(b"canary", b"dog")}, {"TEXT": texts(b"fine")}, {"x": np.zeros((3, 2), np.float32)}]
    assert journal(["a", "b", "c"], given, [ValueError("canary"), given[1], ValueError("dog")], 5, 9) == 0
    about = {"model": "demo_tokenize", "version": 7, "outcome": "refused", "begin": 5, "end": 9}
    assert reader.read() == [{"id": "a", **about, "rows": 2, "bytes": 9}, {"id": "c", **about, "rows": 3, "bytes": 24}]
    assert journal(["a" * 1000], None, None, 5, 9) == 0
    assert reader.read() == [{"id": "a" * 128, **about, "outcome": "failed"}]


def test_where_nobody_reads_nobody_waits_and_what_is_missed_is_counted(reader: Reader) -> None:
    journal = Journal("demo_tokenize", "1", reader.place, 1)
    missed = [journal(["x"] * 10, asked(10), asked(10), 1, 2) for _ in range(1000)]
    told = reader.read()
    assert sum(missed) + len(told) == 10_000
    assert [record["id"] for record in told] == ["x"] * len(told)  # none is torn
    assert (missed[0], missed[-1]) == (0, 10)


def test_what_is_told_with_no_reader_left_is_missed(tmp_path: Path) -> None:
    place = str(tmp_path / "journal")
    os.mkfifo(place)
    pipe = os.open(place, os.O_RDWR | os.O_NONBLOCK)
    journal = Journal("demo_tokenize", "1", place, 1)
    os.close(pipe)
    assert journal(["x"], asked(1), asked(1), 1, 2) == 1


def test_a_step_in_triton_tells_of_callers_and_not_of_the_supervisor(
    triton: Triton, tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACE, reader.place)
    monkeypatch.setenv(EVERY, "1")
    (tmp_path / "1").mkdir()
    settings = {"labels": ["no", "yes"], "activation": "none"}
    step = model(triton, "classify", tmp_path, inputs=["logits"], settings=settings)
    rows = np.array([[1, 2]], dtype=np.float32)

    def request(name: str, *arrays: np.ndarray) -> Any:
        tensors = [triton.pb_utils.Tensor("logits", array) for array in arrays]
        return triton.pb_utils.InferenceRequest(tensors, request_id=name)

    step.execute([request("one", rows), request(CANARY, rows), request("two", rows)])
    one, two = reader.read()
    assert [one["id"], two["id"]] == ["one", "two"]
    assert 0 < one["begin"] <= one["end"]
    assert one["bytes"] == 8
    step.execute([request("odd")])  # without its tensor: a fault of the step's
    (failed,) = reader.read()
    assert (failed["id"], failed["outcome"], "rows" in failed) == ("odd", "failed", True)


def test_an_id_that_is_no_text_harms_nobody(
    triton: Triton, tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton takes any bytes for an id, and its Python backend reads them as UTF-8."""
    monkeypatch.setenv(PLACE, reader.place)
    monkeypatch.setenv(EVERY, "1")
    settings = {"labels": ["no", "yes"], "activation": "none"}
    step = model(triton, "classify", tmp_path, inputs=["logits"], settings=settings)

    class Odd(triton.pb_utils.InferenceRequest):  # type: ignore[name-defined, misc]
        def request_id(self) -> str:
            return b"\x801".decode()

    tensors = [triton.pb_utils.Tensor("logits", np.array([[1, 2]], dtype=np.float32))]
    requests = [Odd(tensors), triton.pb_utils.InferenceRequest(tensors, request_id="good")]
    assert [response.has_error() for response in step.execute(requests)] == [False, False]
    assert [record["id"] for record in reader.read()] == ["", "good"]


def test_without_a_log_nothing_is_told(triton: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACE, raising=False)
    assert Journal.found("demo_tokenize", "1") is None
