"""Files in a model repository are whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.repository import pipeline_steps, place_files, read_manifest, stale


def files_in(folder: Path) -> dict[str, str]:
    """Every file with its text."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_text_is_written_into_folders_that_are_made_for_it(tmp_path: Path) -> None:
    place_files({tmp_path / "a/1/model.py": "é\n", tmp_path / "a/config.pbtxt": ""})
    assert files_in(tmp_path) == {"a/1/model.py": "é\n", "a/config.pbtxt": ""}


def test_a_reader_of_the_old_text_keeps_it_while_the_new_is_put_in_place(tmp_path: Path) -> None:
    place_files({tmp_path / "a.txt": "old"})
    with (tmp_path / "a.txt").open() as reader:
        place_files({tmp_path / "a.txt": "new and longer"})
        assert reader.read() == "old"
    assert files_in(tmp_path) == {"a.txt": "new and longer"}


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=["usual", "private"])
def test_files_can_be_read_by_a_server_under_another_user(tmp_path: Path, umask: int) -> None:
    (tmp_path / "source").write_text("weights")
    before = os.umask(umask)
    try:
        place_files({tmp_path / "a.txt": "text", tmp_path / "b.onnx": tmp_path / "source"})
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.onnx")] == [0o644, 0o644]


def test_stale_names_what_is_missing_or_different(tmp_path: Path) -> None:
    files = {"same.txt": "same", "other.txt": "new", "sub/missing.txt": "new", "empty.txt": ""}
    place_files({tmp_path / "same.txt": "same", tmp_path / "other.txt": "old", tmp_path / "unasked.txt": "x"})
    assert stale(tmp_path, files) == ["other.txt", "sub/missing.txt", "empty.txt"]
    place_files({tmp_path / path: text for path, text in files.items()})
    assert stale(tmp_path, files) == []


def test_copies_are_byte_for_byte_and_replace_what_was_there(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "source").write_bytes(content)
    (tmp_path / "target").write_text("old")
    place_files({tmp_path / "target": tmp_path / "source", tmp_path / "deep" / "er": tmp_path / "source"})
    assert (tmp_path / "target").read_bytes() == (tmp_path / "deep" / "er").read_bytes() == content


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt], ids=lambda error: error.__name__)
def test_a_copy_that_fails_midway_leaves_all_targets_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    (tmp_path / "source").write_text("new")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "first").write_text("old")
    copyfile = shutil.copyfile

    def fail_on_the_second(source: Path, target: Path) -> Any:
        if "second" in str(target):
            Path(target).write_text("ne")
            raise error
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", fail_on_the_second)
    with pytest.raises(error):
        place_files({tmp_path / "target" / name: tmp_path / "source" for name in ("first", "second", "third")})
    assert files_in(tmp_path / "target") == {"first": "old"}


def test_a_missing_source_leaves_all_targets_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    with pytest.raises(FileNotFoundError):
        place_files({tmp_path / "t" / "first": tmp_path / "source", tmp_path / "t" / "second": tmp_path / "missing"})
    assert files_in(tmp_path / "t") == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [(json.dumps({"pipeline": "moods"}), {"pipeline": "moods"}), ("{", None), ("[1]", None), (None, None)],
    ids=["whole", "cut", "other", "missing"],
)
def test_a_manifest_that_does_not_read_counts_as_none(tmp_path: Path, content: str | None, expected: object) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert read_manifest(tmp_path) == expected


def test_a_damaged_text_file_is_stale_and_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    assert stale(tmp_path, {"a.txt": "new"}) == ["a.txt"]
    place_files({tmp_path / "a.txt": "new"})
    assert files_in(tmp_path) == {"a.txt": "new"}


def write_ensemble(repository: Path, name: str, *steps: str, task: bool = True) -> None:
    listed = "".join(f'step {{\n model_name: "{step}"\n model_version: 1\n }}\n' for step in steps)
    (repository / name).mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(listed + 'key: "task"\n' * task)


def test_a_pipelines_steps_are_those_of_all_ensembles_within_and_what_has_no_task_is_none(tmp_path: Path) -> None:
    write_ensemble(tmp_path, "outer", "outer_cached")
    write_ensemble(tmp_path, "outer_cached", "part", "compare", task=False)
    write_ensemble(tmp_path, "part", "part_cached")
    write_ensemble(tmp_path, "part_cached", "part_engine", task=False)
    write_ensemble(tmp_path, "part_engine")
    inner = [("part_cached", 1), ("part_engine", 1)]
    assert pipeline_steps(tmp_path) == {
        "outer": [("outer_cached", 1), ("part", 1), *inner, ("compare", 1)],
        "part": inner,
    }


def test_ensembles_that_contain_each_other_end(tmp_path: Path) -> None:
    write_ensemble(tmp_path, "chain", "ring")
    write_ensemble(tmp_path, "ring", "chain")
    assert pipeline_steps(tmp_path)["chain"] == [("ring", 1), ("chain", 1), ("ring", 1)]
