"""``tritonsmith infer`` as a person and as a script would use it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from served import Served
from tritonsmith import Client

GOOD, BAD = "A delight from start to finish.", "The plot is thin, the jokes are worse."


def infer(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tritonsmith_build", "infer", *arguments]
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
    done = subprocess.CompletedProcess(command, ended.returncode, ended.stdout.decode(), ended.stderr.decode())
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_table_for_people(fp32: Served, protocol: str) -> None:
    done = infer("sentiment", GOOD, BAD, "--url", getattr(fp32, protocol))
    assert done.returncode == 0, done.stderr
    header, first, second = done.stdout.splitlines()
    assert header.split() == ["text", "label", "score"]
    assert GOOD in first
    assert "POSITIVE" in first
    assert BAD in second
    assert "NEGATIVE" in second


def test_json_for_machines(fp32: Served) -> None:
    with Client(fp32.grpc) as client:
        vector = client.pipeline("embeddings")(GOOD)[0]
    (line,) = infer("embeddings", GOOD, "--json", "--url", fp32.grpc).stdout.splitlines()
    said = json.loads(line)
    assert said["text"] == GOOD
    assert said["embedding"] == pytest.approx(vector.tolist(), abs=1e-6)
    (line,) = infer("sentiment", GOOD, "--top-k=2", "--json", "--url", fp32.grpc).stdout.splitlines()
    assert [entry["label"] for entry in json.loads(line)["classes"]] == ["POSITIVE", "NEGATIVE"]


def test_lines_of_standard_input_are_answered_in_order(fp32: Served) -> None:
    lines = [f"{index} {GOOD if index % 2 else BAD}" for index in range(300)]
    done = infer("sentiment", "-", "--json", "--url", fp32.grpc, stdin="\n".join([*lines, "", ""]).encode())
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in said] == lines
    assert [row["label"] for row in said] == [("NEGATIVE", "POSITIVE")[index % 2] for index in range(300)]


def test_a_bad_line_is_named_by_its_number(fp32: Served) -> None:
    done = infer("sentiment", "-", "--url", fp32.grpc, stdin=b"fine\n\ncaf\xe9\n")
    assert done.returncode == 1
    assert "standard input, line 3: not UTF-8 at byte 3" in done.stderr
    done = infer("sentiment", "-", "--url", fp32.grpc, stdin=b"fine\n\n" + b"x" * 100_000)
    assert "standard input, line 3: 100000 bytes of text" in done.stderr


def test_errors_are_one_line(fp32: Served) -> None:
    for arguments, said in (
        (("nope", GOOD, "--url", fp32.grpc), "unknown model: 'nope'"),
        (("sentiment", "", "--url", fp32.grpc), "item 0: the text is empty"),
        (("sentiment", GOOD, "--url", "grpc://127.0.0.1:1"), "failed to connect"),
        (("sentiment", GOOD, "--url", "localhost:8001"), "write for example grpc://localhost:8001"),
    ):
        done = infer(*arguments)
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
