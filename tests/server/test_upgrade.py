"""Versions that follow each other under load, on the real server: nothing lost, nothing wrong, each answer one version's."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w
from served import ROOT, Served, built, serving
from test_cache_and_metrics import hits
from tiny_models import POSITIONS, save_classifier, sentences
from transformers import pipeline
from tritonsmith import Client
from versioned import Answer, Callers, p99

SPEC = 'task = "text-classification"\n[source]\npath = "../models/{name}"\n[engine]\nprecision = "fp32"\nmax_batch_size = 32\n'
TEXTS = sentences(300, seed=3)


OTHER = {"BAD": "GOOD", "GOOD": "BAD"}


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A pipeline, and the same whose classes have each other's names: every text tells which of the two answered."""
    root = tmp_path_factory.mktemp("builds")
    write = {"tiny": tiny, "sentiment": sentiment}[getattr(request, "param", "tiny")]
    for name, labels in (("one", tuple(OTHER)), ("two", tuple(OTHER.values()))):
        (root / name).mkdir()
        (root / name / "moods.toml").write_text(write(root, name, labels))
        built([root / name / "moods.toml"], root / name / "repository", "fp32")
    return root


def tiny(root: Path, name: str, labels: tuple[str, ...]) -> str:
    """The specification of a tiny model, which it makes."""
    save_classifier(root / "models" / name, labels=labels)
    return SPEC.format(name=name)


def sentiment(root: Path, name: str, labels: tuple[str, ...]) -> str:
    """The specification of the shipped pipeline, the classes called otherwise."""
    file = ROOT / "pipelines" / "sentiment.toml"
    spec = tomllib.loads(file.read_text(encoding="utf-8"))
    spec["source"]["adapter"] = str(file.parent / spec["source"]["adapter"])
    del spec["gate"], spec["calibration"]  # whose labels have the model's own names
    return tomli_w.dumps({**spec, "output": {"labels": list(labels)}})


@pytest.fixture(scope="module")
def answers(builds: Path) -> dict[int, dict[str, Answer]]:
    """By version, what is right: the first build is version 1, the other has all later numbers."""
    rows = answers_of_transformers(builds / "models" / "one") if (builds / "models").exists() else answers_alone(builds)
    one = {text: (row["label"], row["score"]) for text, row in zip(TEXTS, rows, strict=True)}
    two = {text: (OTHER[label], score) for text, (label, score) in one.items()}
    return {1: one, **dict.fromkeys(range(2, 10), two)}


def answers_of_transformers(model: Path) -> Sequence[dict[str, Any]]:
    reference = pipeline("text-classification", model=str(model))
    rows: Sequence[dict[str, Any]] = reference(TEXTS, truncation=True, max_length=POSITIONS, batch_size=50)
    return rows


def answers_alone(builds: Path) -> Sequence[dict[str, Any]]:
    """What the first build answers while nobody else asks it. That this is right other tests show."""
    with serving(builds / "one" / "repository", builds / "log") as served, Client(served.grpc) as client:
        answers: Sequence[dict[str, Any]] = client.pipeline("moods")(TEXTS)
    return answers


@dataclass(frozen=True)
class Deployment:
    """A deployed copy of the first build, and a server of it."""

    folder: Path
    builds: Path
    served: Served

    @property
    def key(self) -> str:
        """The option that lets it do what is no caller's."""
        return f"--admin-key-file={self.served.log.with_suffix('.key')}"

    def run(self, command: str, *options: object, url: str | None = None) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "tritonsmith_build", command, "moods", f"--deployed={self.folder}", "--json"]
        return subprocess.run(
            [*words, f"--url={url or self.served.grpc}", self.key, *map(str, options)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def upgrade(self, *options: object, build: str = "two", url: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("upgrade", f"--from={self.builds / build / 'repository'}", "--items=50", *options, url=url)


def deploy(builds: Path, folder: Path) -> None:
    words = [sys.executable, "-m", "tritonsmith_build", "deploy", "moods", f"--from={builds / 'one' / 'repository'}"]
    subprocess.run([*words, f"--to={folder}"], check=True, capture_output=True, timeout=60)


@pytest.fixture
def deployment(builds: Path, tmp_path: Path) -> Iterator[Deployment]:
    deploy(builds, tmp_path / "deployed")
    with serving(tmp_path / "deployed", tmp_path / "triton.log") as served:
        yield Deployment(tmp_path / "deployed", builds, served)


def said(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ended.returncode == 0, ended.stderr
    made: dict[str, Any] = json.loads(ended.stdout)
    return made


DIFFERENT = ("--min-agreement=0", "--max-slowdown=100")
"""The two agree on nothing."""


@pytest.mark.parametrize(
    ("builds", "seconds"),
    [("tiny", 2), pytest.param("tiny", 20, marks=pytest.mark.full), pytest.param("sentiment", 20, marks=pytest.mark.full)],
    indirect=["builds"],
)
def test_an_upgrade_and_a_rollback_under_load_lose_nothing_and_answer_nothing_wrongly(
    deployment: Deployment, answers: dict[int, dict[str, Answer]], seconds: float, tmp_path: Path
) -> None:
    """And what is live at a moment is what a server that starts then serves."""
    served = deployment.served
    with Callers(served.grpc, "moods", TEXTS, answers) as callers:
        time.sleep(1 + seconds)
        moments = [time.monotonic()]
        upgraded = said(deployment.upgrade(*DIFFERENT))
        moments.append(time.monotonic())
        copy = shutil.copytree(deployment.folder, tmp_path / "of version 2")
        time.sleep(seconds)
        moments.append(time.monotonic())
        rolled = said(deployment.run("rollback", url=served.http))
        moments.append(time.monotonic())
        time.sleep(seconds)
    assert (callers.failed, callers.wrong) == ([], [])
    assert (upgraded["before"], upgraded["live"], rolled["before"], rolled["live"]) == (1, 2, 2, 1)
    start, upgrading, two, rolling, one = 0.0, *moments
    spans = [(start, upgrading), (upgrading, two), (two, rolling), (rolling, one), (one, time.monotonic())]
    found = [callers.between(*span) for span in spans]
    assert [{reply.version for reply in replies} for replies in found] == [{1}, {1, 2}, {2}, {1, 2}, {1}]
    assert hits(served, "moods_cached") > len(TEXTS)
    for name, replies in zip(("before", "upgrade", "between", "rollback", "after"), found, strict=True):
        ratio = p99(replies) / p99(found[0])
        sys.stdout.write(f"{name:<9}{len(replies):>7} requests, p99 {p99(replies):7.1f} ms, {ratio:.2f} x before\n")
    assert [path.name for path in (deployment.folder / "moods_engine").iterdir() if path.name.isdecimal()] == ["1"]
    assert answering(copy, tmp_path / "again.log", answers) == {2}


def test_a_worse_version_is_refused_and_a_killed_upgrade_is_finished_by_the_next(
    deployment: Deployment, answers: dict[int, dict[str, Answer]], tmp_path: Path
) -> None:
    with Callers(deployment.served.grpc, "moods", TEXTS, answers, count=4) as callers:
        for options, words in (((), "agrees on 0."), (("--min-agreement=0", "--max-slowdown=0.0001"), "times as long (p50)")):
            refused = deployment.upgrade(*options)
            assert refused.returncode == 1
            assert words in refused.stderr
            assert "nothing changed for callers" in refused.stderr
        assert not list(deployment.folder.glob("moods_at_*"))
        assert [path.name for path in (deployment.folder / ".versions/moods").iterdir()] == ["1"]
        before = processes(deployment, version=1)
        killed_while_both_are_asked(deployment)
        assert processes(deployment, version=1) == before, "what answers callers was restarted"
        assert len(processes(deployment, version=4)) == len(before) == 4
        assert (deployment.folder / "moods_engine/4").is_dir()
        copy = shutil.copytree(deployment.folder, tmp_path / "as it was left")
        assert {reply.version for reply in callers.replies} == {1}
        assert said(deployment.upgrade(*DIFFERENT))["live"] == 5
        time.sleep(1)
    assert (callers.failed, callers.wrong) == ([], [])
    assert {reply.version for reply in callers.replies} == {1, 5}
    assert callers.replies[-1].version == 5
    assert answering(copy, tmp_path / "again.log", answers) == {1}
    assert not (copy / "moods_engine/4").exists()


def processes(deployment: Deployment, version: int) -> list[int]:
    """Of the steps of a version, each by its process id."""
    found = psutil.Process(deployment.served.process.pid).children(recursive=True)
    return sorted(child.pid for child in found if any(f"/{version}/model.py" in word for word in child.cmdline()))


def killed_while_both_are_asked(deployment: Deployment) -> None:
    words = [sys.executable, "-m", "tritonsmith_build", "upgrade", "moods", f"--deployed={deployment.folder}"]
    options = [f"--from={deployment.builds / 'two' / 'repository'}", f"--url={deployment.served.grpc}", deployment.key]
    with subprocess.Popen([*words, *options], stderr=subprocess.PIPE, text=True) as begun:
        assert begun.stderr is not None
        while "asking both" not in (line := begun.stderr.readline()):
            assert line, "it ended"
        begun.send_signal(signal.SIGKILL)


def answering(folder: Path, log: Path, answers: dict[int, dict[str, Answer]]) -> set[int]:
    """The versions that callers of a new server of ``folder`` are answered by, rightly."""
    with serving(folder, log) as served, Callers(served.grpc, "moods", TEXTS, answers, count=4) as callers:
        time.sleep(1)
    assert (callers.failed, callers.wrong) == ([], [])
    return {reply.version for reply in callers.replies}
