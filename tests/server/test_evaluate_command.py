"""`tritonsmith evaluate` against a real server, its figures left with a real Pushgateway."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor.native import free_port
from prometheus_client.parser import text_string_to_metric_families
from served import ROOT, Served
from tritonsmith_build.examples import Examples, examples_from_file
from tritonsmith_build.repository import read_manifest
from waiting import until

GATE = ROOT / "pipelines" / "sentiment" / "gate.tsv"
POSITIONS = {"NEGATIVE": "0", "POSITIVE": "1"}


def evaluate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tritonsmith_build", "evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def figures(*arguments: object) -> tuple[int, dict[str, Any]]:
    done = evaluate(*arguments, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def written(examples: Examples, labels: list[str], file: Path) -> Path:
    rows = [f"{text}\t{label}" for text, label in zip(examples.texts, labels, strict=True)]
    file.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return file


def accuracy_in(repository: Path) -> float:
    manifest = read_manifest(repository / "sentiment_engine" / "1")
    assert manifest
    accuracy: float = manifest["targets"]["cpu"]["gate"]["accuracy"]
    return accuracy


def test_on_the_builds_own_data_it_is_the_builds_accuracy(fp32: Served, fp32_repository: Path, tmp_path: Path) -> None:
    code, found = figures("sentiment", GATE, "--url", fp32.grpc, "--repository", fp32_repository)
    assert (code, found["worse"], found["items"]) == (0, False, 340)
    assert found["accuracy"] == pytest.approx(found["built"]) == pytest.approx(accuracy_in(fp32_repository))
    assert set(found["recall"]) == set(POSITIONS)
    examples = examples_from_file(GATE)
    positions = written(examples, [POSITIONS[label] for label in examples.labels], tmp_path / "positions.tsv")
    assert figures("sentiment", positions, "--url", fp32.http, "--repository", fp32_repository) == (code, found)


@contextlib.contextmanager
def pushgateway(folder: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["prometheus-pushgateway", f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is None and answers(address), (folder / "log").read_text())
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as line:
        return line.connect_ex((host, int(port))) == 0


@pytest.mark.skipif(not shutil.which("prometheus-pushgateway"), reason="prometheus-pushgateway is not installed")
def test_shuffled_labels_are_worse_and_told_to_the_pushgateway(fp32: Served, fp32_repository: Path, tmp_path: Path) -> None:
    examples = examples_from_file(GATE)
    labels = list(examples.labels)
    random.Random(1).shuffle(labels)
    file = written(examples, labels, tmp_path / "shuffled.tsv")
    with pushgateway(tmp_path) as gateway:
        code, found = figures("sentiment", file, "--url", fp32.grpc, "--repository", fp32_repository, "--push", gateway)
        with urllib.request.urlopen(f"{gateway}/metrics", timeout=10) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
    assert (code, found["worse"]) == (1, True)
    assert 0.4 < found["accuracy"] < 0.6
    pushed = {
        sample.name.removeprefix("tritonsmith_evaluation_"): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("pipeline") == "sentiment"
    }
    kept = {"accuracy": "accuracy", "accuracy_most": "most", "items": "items", "built_accuracy": "built"}
    assert {name: pushed[name] for name in kept} == pytest.approx({name: found[key] for name, key in kept.items()})


@pytest.mark.parametrize(
    ("pipeline", "content", "said"),
    [
        ("sentiment", "text\nfine\n", "has no labels"),
        ("sentiment", "text\tlabel\nfine\tSPLENDID\n", "label 'SPLENDID' is none of"),
        ("embeddings", "text\tlabel\nfine\tPOSITIVE\n", "top_k"),
        ("nope", "text\tlabel\nfine\tPOSITIVE\n", "unknown model: 'nope'"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(fp32: Served, tmp_path: Path, pipeline: str, content: str, said: str) -> None:
    (tmp_path / "labelled.tsv").write_text(content)
    done = evaluate(pipeline, tmp_path / "labelled.tsv", "--url", fp32.grpc)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_repository_positions_are_refused(fp32: Served, tmp_path: Path) -> None:
    (tmp_path / "labelled.tsv").write_text("text\tlabel\nfine\t1\n")
    done = evaluate("sentiment", tmp_path / "labelled.tsv", "--url", fp32.grpc, "--repository", tmp_path)
    assert done.returncode == 1
    assert "write names, or give the --repository that is served" in done.stderr
