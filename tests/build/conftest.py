"""Fixtures for the build's tests. What takes seconds is made once a session and only ever copied."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from tiny_models import edit_json, save, save_classifier, save_encoder, save_token_classifier
from tritonsmith_build.cli import main
from workbench import Exported, Workplace, copy_of, export, new_workplace, write_spec


def _multi_label(folder: Path) -> None:
    save_classifier(folder, labels=("FUNNY", "SAD", "LONG"), problem_type="multi_label_classification")


def _cls_pooling(folder: Path) -> None:
    save_encoder(folder, "distilbert")
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)


def _pooled(folder: Path, mode: str) -> None:
    save_encoder(folder)
    edit_json(folder / "1_Pooling" / "config.json", **{f"pooling_mode_{mode}": True})


SAMPLES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "bert-2": ("text-classification", save_classifier),
    "roberta-3": ("text-classification", lambda folder: save_classifier(folder, "roberta", ("BAD", "SO-SO", "GOOD"))),
    "distilbert-5": ("text-classification", lambda folder: save_classifier(folder, "distilbert", tuple("12345"))),
    "modernbert-2": ("text-classification", lambda folder: save_classifier(folder, "modernbert")),
    "multi-label": ("text-classification", _multi_label),
    "regression": ("text-classification", lambda folder: save_classifier(folder, labels=["STARS"], problem_type="regression")),
    "one-label": ("text-classification", lambda folder: save_classifier(folder, labels=["TOXIC"])),
    "mean": ("feature-extraction", save_encoder),
    "max": ("feature-extraction", lambda folder: _pooled(folder, "max_tokens")),
    "last": ("feature-extraction", lambda folder: _pooled(folder, "lasttoken")),
    "tokens": ("token-classification", save_token_classifier),
    "spans": ("question-answering", lambda folder: save(folder, "ForQuestionAnswering")),
    "masks": ("fill-mask", lambda folder: save(folder, "ForMaskedLM")),
    "cls": ("feature-extraction", _cls_pooling),
    "token-classifier": ("text-classification", lambda folder: save(folder, "ForTokenClassification")),
}
"""By name: the task, and what puts the model into a folder."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small are computed faster by one thread than shared out; on busy cores twenty times so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by its name in ``SAMPLES``; not to be changed."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "model"
        SAMPLES[name][1](folder)
        return folder

    return made


@pytest.fixture(scope="session")
def exported(sample: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """A tiny model read and exported, by its name in ``SAMPLES``: by the first process of tests that wants it."""
    beside = tmp_path_factory.getbasetemp()
    shared = (beside.parent if "PYTEST_XDIST_WORKER" in os.environ else beside) / "exported"
    shared.mkdir(exist_ok=True)

    @cache
    def made(name: str) -> Exported:
        spec = write_spec(sample(name).parent, task=SAMPLES[name][0], input={"buckets": [16, 32]})
        folder, kept = tmp_path_factory.mktemp(f"{name}-exported"), shared / f"{name}.onnx"
        with FileLock(shared / f"{name}.lock"):
            model = export(spec, folder, kept if kept.exists() else None)
            shutil.copy(model.file, kept)
        return model

    return made


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = new_workplace(tmp_path_factory.mktemp("finished"))
    place.build()
    return place


@pytest.fixture
def place(finished: Workplace, tmp_path: Path) -> Workplace:
    """A workplace where a build has just ended well; the test's own copy."""
    return copy_of(finished, tmp_path / "place")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, which is less than a tiny model's ONNX file takes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a ``tritonsmith`` command in this process, as its console script does."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["tritonsmith", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run
