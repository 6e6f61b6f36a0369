"""A repository that is all right leads to no finding, and nothing that can be read makes the linter fall over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from lintplace import (
    CLASSIFY,
    CPU,
    ENGINE,
    ENSEMBLE,
    MANIFEST,
    ROOT,
    TENSORRT,
    TOKENIZE,
    config_at,
    edited,
    linted,
    summary,
    write_rendered,
    write_text,
)
from tritonsmith_build.errors import SmithError
from tritonsmith_build.lint import as_dicts, exit_code, lint_repository

CONFIGS = [ENSEMBLE, TOKENIZE, TENSORRT, CPU, CLASSIFY]


def test_a_built_repository_has_no_findings(repository: Path) -> None:
    assert lint_repository(repository) == []


def test_every_rendered_pipeline_lacks_nothing_but_its_artefacts(tmp_path: Path) -> None:
    write_rendered(tmp_path)
    findings = lint_repository(tmp_path)
    engines = sorted(path.parents[1].name for path in tmp_path.glob("*/configs/onnxruntime.pbtxt"))
    assert {found.file.split("/")[0] for found in findings} == set(engines) != set()
    assert {(found.level, found.rule) for found in findings} == {("note", "artefact-not-built")}


def test_an_ensemble_that_remembers_must_be_asked_for_everything_it_gives(tmp_path: Path) -> None:
    write_rendered(tmp_path, "sentiment")

    def without_scores(config: Any) -> None:
        del config.output[1], config.ensemble_scheduling.step[0].output_map["SCORE"]

    edited("sentiment/config.pbtxt", without_scores)(tmp_path)
    found = [finding for finding in lint_repository(tmp_path) if finding.level != "note"]
    assert summary(found) == [("warning", "cache-forgets-outputs", "sentiment_cached/config.pbtxt", "response_cache.enable")]


def test_the_project_s_own_repository_has_neither_errors_nor_warnings() -> None:
    assert [str(found) for found in lint_repository(ROOT / "model_repository") if found.level != "note"] == []


def test_nothing_is_written(repository: Path) -> None:
    def snapshot() -> dict[str, tuple[bytes, int]]:
        files = (file for file in repository.rglob("*") if file.is_file())
        return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

    before = snapshot()
    lint_repository(repository)
    assert snapshot() == before


def test_findings_come_by_file_and_field_and_as_json(repository: Path) -> None:
    shutil.rmtree(repository / "sentiment/1")
    (repository / ENGINE / "model.plan").unlink()
    (repository / MANIFEST).write_text("{")
    findings = linted(repository, edited(CLASSIFY, lambda config: config.ClearField("dynamic_batching")))
    assert summary(findings) == [
        ("error", "version-folder-missing", ENSEMBLE, "version_policy"),
        ("warning", "no-dynamic-batching", CLASSIFY, "dynamic_batching"),
        ("error", "manifest-unreadable", MANIFEST, "line 1"),
        ("note", "artefact-not-built", TENSORRT, "default_model_filename"),
    ]
    assert json.loads(json.dumps(as_dicts(findings)))[3] == {
        "level": "note",
        "file": "sentiment_engine/config.pbtxt",
        "field": "default_model_filename",
        "rule": "artefact-not-built",
        "message": "sentiment_engine/1/model.plan is not there",
        "fix": "build the model before serving it",
    }
    assert str(findings[3]) == (
        "sentiment_engine/config.pbtxt: default_model_filename: sentiment_engine/1/model.plan is not there; "
        "build the model before serving it"
    )
    assert [exit_code(findings), exit_code(findings[1:2]), exit_code(findings[3:]), exit_code([])] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", "nowhere: no such folder; give the folder that Triton's --model-repository names"),
        ("models/sentiment", "models/sentiment: is a model, not a repository of models; give .*models$"),
        ("empty", "empty: holds no model; give the folder"),
        ("models/" + CLASSIFY, "config.pbtxt: no such folder"),
    ],
    ids=["missing", "a-model", "empty", "a-file"],
)
def test_what_is_no_repository_is_said_to_be_none(repository: Path, name: str, says: str) -> None:
    (repository.parent / "empty").mkdir()
    with pytest.raises(SmithError, match=says):
        lint_repository(repository.parent / name)


def test_hidden_folders_and_loose_files_are_passed_over(repository: Path) -> None:
    write_text(repository, {"README.md": "", ".git/HEAD": "", "__pycache__/x.pyc": "", "sentiment/notes/01.txt": ""})
    assert lint_repository(repository) == []


def test_a_link_to_nothing_is_a_missing_file(repository: Path) -> None:
    (repository / ENGINE / "model.plan").unlink()
    (repository / ENGINE / "model.plan").symlink_to(repository / "gone")
    assert [found.rule for found in lint_repository(repository)] == ["artefact-not-built"]


def _without_each_field(message: Any) -> Iterator[str]:
    """Take away each field that a message has, however deep, and put it back when the next is asked for."""
    for descriptor, value in message.ListFields():
        kept = type(message)()
        kept.CopyFrom(message)
        message.ClearField(descriptor.name)
        yield descriptor.name
        message.CopyFrom(kept)
        inner = getattr(message, descriptor.name)
        first = next(iter(inner.values())) if hasattr(inner, "values") else inner if hasattr(value, "ListFields") else None
        if first is None and descriptor.type == descriptor.TYPE_MESSAGE:
            first = inner[0]
        if hasattr(first, "ListFields"):
            yield from _without_each_field(first)


@pytest.mark.parametrize("path", CONFIGS)
def test_a_configuration_that_lacks_any_field_is_linted(repository: Path, path: str) -> None:
    config = config_at(repository / path)
    whole = text_format.MessageToString(config)
    tried = []
    for name in _without_each_field(config):
        text = text_format.MessageToString(config)
        assert text != whole
        (repository / path).write_text(text)
        lint_repository(repository)
        tried.append(name)
    assert len(tried) > 15
