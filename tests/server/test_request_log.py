"""A line about each request, from what its steps tell: at a real server, whoever asks it and however that ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from faults.drills import triton_of
from load.serving import Serving
from served import UNASKED, Served, serving
from tritonclient import grpc
from tritonsmith import Client, InvalidInputError, TritonsmithError
from tritonsmith_build.server.stubs import stubs_of
from waiting import until

STEPS = ["tokenize", "engine", "classify"]


@pytest.fixture(scope="module")
def served(fp32_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--no-cache", UNASKED, "--request-log-every=1")
    with serving(fp32_repository, tmp_path_factory.mktemp("requests") / "log", *options, faults=True) as server:
        yield server


def lines(served: Served, **wanted: Any) -> list[dict[str, Any]]:
    """Those that are as wanted."""
    read = [json.loads(line) for line in served.requests.read_text().splitlines()] if served.requests.exists() else []
    return [line for line in read if wanted.items() <= line.items()]


def awaited(served: Served, count: int, **wanted: Any) -> list[dict[str, Any]]:
    until(lambda: len(lines(served, **wanted)) >= count, f"no line of {wanted}")
    return lines(served, **wanted)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_request_has_one_line_with_every_step(served: Served, protocol: str) -> None:
    begin = datetime.now(UTC)
    with Client(getattr(served, protocol)) as client:
        client.pipeline("sentiment")(["four", "letters"], request_id=f"over {protocol}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(client.pipeline("embeddings"), (f"text {number}" for number in range(100))))
        client.pipeline("embeddings")([f"text {number}" for number in range(70)], request_id=f"many-{protocol}")
    end = datetime.now(UTC)
    (line,) = awaited(served, 1, id=f"over {protocol}")
    assert (line["pipeline"], line["version"], line["outcome"], line["rows"], line["bytes"]) == (
        "sentiment",
        1,
        "answered",
        2,
        11,
    )
    assert list(line["steps"]) == STEPS
    assert begin <= datetime.fromisoformat(line["time"]) <= end
    assert 0 < sum(line["steps"].values()) <= line["ms"] < 1000 * (end - begin).total_seconds()
    for number, rows in enumerate((32, 32, 6)):
        (line,) = awaited(served, 1, id=f"many-{protocol}-{number}")
        assert line["rows"] == rows
    made = [line for line in lines(served, pipeline="embeddings", rows=1) if datetime.fromisoformat(line["time"]) >= begin]
    assert len({line["id"] for line in made}) == len(made) == 100
    assert all(list(line["steps"]) == ["tokenize", "engine", "embed"] for line in made)


def test_a_refused_request_ends_with_the_step_that_refuses_it_and_its_error_has_its_id(served: Served) -> None:
    with Client(served.grpc) as client:
        pipe = client.pipeline("sentiment")
        with pytest.raises(InvalidInputError) as given:
            pipe("", request_id="empty")
        with pytest.raises(InvalidInputError) as made:
            pipe("")
    assert given.value.request_id == "empty"
    for error in (given.value, made.value):
        (line,) = awaited(served, 1, id=error.request_id)
        assert (line["outcome"], list(line["steps"])) == ("refused", ["tokenize"])


def test_a_request_without_an_id_has_a_line_for_each_step(served: Served) -> None:
    before = len(lines(served, id=None))
    with grpc.InferenceServerClient(served.grpc.removeprefix("grpc://")) as wire:
        import numpy as np

        text = grpc.InferInput("TEXT", [1, 1], "BYTES")
        text.set_data_from_numpy(np.array([[b"four"]], dtype=object))
        wire.infer("sentiment", [text])
    of_each = awaited(served, before + 3, id=None)[before:]
    assert [list(line["steps"]) for line in of_each] == [[step] for step in STEPS]


def test_a_request_whose_step_dies_is_lost_and_its_line_says_where(fp32_repository: Path, tmp_path: Path) -> None:
    options = ("--pipelines=sentiment", "--no-cache", UNASKED, "--request-log-every=1")
    with serving(fp32_repository, tmp_path / "log", *options, faults=True) as served, Client(served.grpc) as client:
        pipe = client.pipeline("sentiment")
        pipe("warm")
        for stub in stubs_of(triton_of(Serving(served.process, served.said))):
            if stub.model == "sentiment_engine":
                os.kill(stub.pid, signal.SIGSTOP)
        with pytest.raises(TritonsmithError) as caught:
            pipe("four", request_id="halted")
        assert caught.value.request_id == "halted"
        until(lambda: served.events[-1:] and served.events[-1]["event"] == "healed", "not mended")
        pipe("four", request_id="mended")
        assert awaited(served, 1, id="mended")[0]["outcome"] == "answered"
    (line,) = lines(served, id="halted")
    assert (line["outcome"], list(line["steps"])) == ("lost", ["tokenize"])


def test_of_many_requests_a_few_have_a_line_and_where_none_is_wanted_there_is_no_file(
    fp32_repository: Path, tmp_path: Path
) -> None:
    options = ("--pipelines=sentiment", "--no-cache", UNASKED)
    for name, more in (("some", "--request-log-every=10"), ("none", "--no-request-log")):
        with serving(fp32_repository, tmp_path / name, *options, more) as served, Client(served.grpc) as client:
            pipe = client.pipeline("sentiment")
            with ThreadPoolExecutor(8) as pool:
                for asked in [pool.submit(pipe, "four", request_id=f"{number}") for number in range(300)]:
                    asked.result()
            with pytest.raises(InvalidInputError):
                pipe("", request_id="empty")
    assert not (tmp_path / "none.requests.jsonl").exists()
    of_some = [json.loads(line) for line in (tmp_path / "some.requests.jsonl").read_text().splitlines()]
    assert [line["id"] for line in of_some if line["outcome"] != "answered"] == ["empty"]
    whole = [line for line in of_some if line["outcome"] == "answered" and line["id"]]
    assert 15 < len(whole) < 50
    assert all(list(line["steps"]) == STEPS for line in whole)
