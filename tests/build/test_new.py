"""A model's spec is written from what the model says of itself; every model that the tests serve is guessed right."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from parity import Case
from parity_images import IMAGE_CASES
from parity_sounds import SOUND_CASES
from parity_texts import TEXT_CASES
from tiny_models import edit_json, save_classifier
from tritonsmith_build import new as module
from tritonsmith_build.errors import SmithError
from tritonsmith_build.new import Made, new
from tritonsmith_build.source import locate
from tritonsmith_build.spec import spec_from_file

# One of each task; families differ in nothing that is looked at.
CASES = {case.task: case for case in reversed([*TEXT_CASES, *IMAGE_CASES, *SOUND_CASES])}


def made(model: Path | str, pipelines: Path, **options: Any) -> Made:
    return new(str(model), **({"task": None, "name": None, "revision": None} | options), pipelines=pipelines)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "models" / "My Model-2.0")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_task_of_every_model_that_is_served_is_guessed(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    spec = spec_from_file(made(tmp_path / "models" / case.name, tmp_path / "pipelines").file)
    assert spec.task == case.task
    assert locate(spec).folder.samefile(tmp_path / "models" / case.name)


def test_a_spec_has_a_name_that_triton_takes_and_says_why_it_is_so(model: Path, tmp_path: Path) -> None:
    written = made(model, tmp_path / "pipelines")
    assert written.file == tmp_path / "pipelines" / "my_model_2_0.toml"
    assert tomllib.loads(written.file.read_text()) == {
        "task": "text-classification",
        "source": {"path": "../models/My Model-2.0"},
        "engine": {"precision": "fp32"},
    }
    assert written.settings[0].why == "BertForSequenceClassification: its head classifies texts"


def test_a_name_that_begins_with_a_digit_gets_a_letter(model: Path, tmp_path: Path) -> None:
    other = model.rename(model.with_name("7b"))
    assert made(other, tmp_path).file.name == "model_7b.toml"


def test_what_a_person_says_is_not_guessed(model: Path, tmp_path: Path) -> None:
    written = made(model, tmp_path, task="text-ranking", name="mine")
    assert (written.file.name, spec_from_file(written.file).task) == ("mine.toml", "text-ranking")


def test_a_spec_that_is_there_stays(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("# mine")
    with pytest.raises(SmithError, match=r"mine\.toml: is there already; give another --name, or delete it"):
        made(model, tmp_path, name="mine")
    assert (tmp_path / "mine.toml").read_text() == "# mine"


def test_a_name_that_is_none_leaves_no_file(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SmithError, match="the file's name names models in Triton"):
        made(model, tmp_path / "pipelines", name="My-Model")
    assert list((tmp_path / "pipelines").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "task", "reason"),
    [
        ({"architectures": ["WhisperForConditionalGeneration"]}, None,
         "no task is known for WhisperForConditionalGeneration; name"),
        ({"architectures": None}, None, "no task is known for a model that names no architecture; name one: --task text-class"),
        ({}, "translation", "--task: unknown task 'translation'; use one of text-classification, "),
    ],
    ids=["unknown", "unnamed", "asked"],
)  # fmt: skip
def test_a_model_that_nothing_fits_is_refused(model: Path, tmp_path: Path, changes: Any, task: Any, reason: str) -> None:
    edit_json(model / "config.json", **changes)
    with pytest.raises(SmithError, match=reason):
        made(model, tmp_path, task=task)


@pytest.mark.parametrize("place", ["gone", "./gone", "a/b/c"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SmithError, match="no such folder; correct it, or give a hub id as owner/name"):
        made(place, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SmithError, match=r"empty: holds no config\.json"):
        made("empty", tmp_path)


def test_a_model_on_the_hub_is_pinned_to_its_newest_revision(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub itself is a stand-in: there is no network here."""
    asked = []

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, "config.json" in allow_patterns))
        return str(model)

    class Info:
        sha = "c0ffee" * 6 + "abcd"

    monkeypatch.setattr(huggingface_hub, "model_info", lambda name: Info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    source = tomllib.loads(made("someone/Some-Model", tmp_path).file.read_text())["source"]
    assert source == {"hub": "someone/Some-Model", "revision": Info.sha}
    made("someone/Some-Model", tmp_path, revision="main", name="other")
    assert asked == [("someone/Some-Model", Info.sha, True), ("someone/Some-Model", "main", True)]


def test_a_hub_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> object:
        raise OSError("no route to it\nand more")

    monkeypatch.setattr(huggingface_hub, "model_info", fail)
    with pytest.raises(SmithError, match="someone/model: cannot be read from the hub: no route to it; check the name"):
        made("someone/model", tmp_path)


def test_the_command_says_what_it_set(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tritonsmith_build", "new", str(model)]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "text-classification" in shown
    assert "BertForSequenceClassification: its" in shown
    assert "pipelines/my_model_2_0.toml written; next: tritonsmith build my_model_2_0" in shown
    again = subprocess.run([*command, "--name=b", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    said = json.loads(again)
    assert (said["file"], said["settings"][0]["value"]) == ("pipelines/b.toml", "text-classification")


def test_every_guess_is_a_task() -> None:
    assert {guess.task for guess in module.GUESSES} == (module.TASKS | module.JOINED).keys()
