"""An archive of a built repository: complete, checked, the same for the same repository, and served where it is unpacked."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.pack import pack
from tritonsmith_build.server.preflight import pipelines_in
from workbench import Workplace, snapshot

ENGINE = "moods_engine/1/model.cpu.onnx"


def unpacked(archive: Path, folder: Path) -> Path:
    """As a person would: GNU tar, and coreutils for the hashes."""
    folder.mkdir()
    subprocess.run(["tar", "xf", archive, "-C", folder], check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    return folder


def test_what_is_unpacked_is_what_was_built(place: Workplace, tmp_path: Path) -> None:
    said = pack(place.repository, ["moods"], tmp_path / "moods.tar.gz")
    folder = unpacked(tmp_path / "moods.tar.gz", tmp_path / "there")
    contents = {path: content for path, (content, _) in snapshot(folder).items() if path != "SHA256SUMS"}
    assert contents == {path: content for path, (content, _) in snapshot(place.repository).items()}
    assert said["files"] == len(contents) + 1
    assert said["bytes"] == (tmp_path / "moods.tar.gz").stat().st_size
    assert pipelines_in(folder, "cpu", {"python"}).ready == ("moods",)


def test_the_same_repository_gives_the_same_archive(place: Workplace, tmp_path: Path) -> None:
    first = pack(place.repository, ["moods"], tmp_path / "a.tar.gz")
    for file in place.repository.rglob("*"):
        if file.is_file():
            file.touch()
            file.chmod(0o600)
    second = pack(place.repository, ["moods"], tmp_path / "b" / "c.tar.gz")
    assert first["sha256"] == second["sha256"]
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert {(member.uid, member.mtime, member.mode) for member in tar if member.isfile()} == {(0, 0, 0o644)}


def test_what_no_manifest_speaks_of_stays_behind(place: Workplace, tmp_path: Path) -> None:
    (place.repository / "moods_engine/1/model.old.plan").write_bytes(b"old")
    (place.repository / "moods_engine/1/.model.cpu.onnx.x.part").write_bytes(b"half")
    pack(place.repository, ["moods"], tmp_path / "moods.tar.gz")
    with tarfile.open(tmp_path / "moods.tar.gz") as tar:
        names = tar.getnames()
    assert ENGINE in names
    assert not [name for name in names if "old" in name or name.endswith(".part")]


def test_one_target_alone_takes_its_engine_and_its_record(place: Workplace, tmp_path: Path) -> None:
    place.build("fp32", target="onnxruntime")
    pack(place.repository, ["moods"], tmp_path / "moods.tar.gz", target="onnxruntime")
    folder = unpacked(tmp_path / "moods.tar.gz", tmp_path / "there")
    assert not (folder / ENGINE).exists()
    assert (folder / "moods_engine/1/model.onnx").is_file()
    assert json.loads((folder / "moods_engine/1/manifest.json").read_text())["targets"].keys() == {"onnxruntime"}


REFUSED: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "unknown": (lambda repository: None, {"pipelines": ["mood"]}, "no pipeline mood; there are: moods"),
    "not built for it": (lambda repository: None, {"target": "tensorrt"}, "run: tritonsmith build moods --target tensorrt"),
    "not built": (lambda repository: (repository / "moods_engine/1/manifest.json").unlink(), {}, "moods is not built"),
    "engine changed": (
        lambda repository: (repository / ENGINE).write_bytes(b"x"),
        {},
        "is not the file its manifest speaks of",
    ),
    "engine gone": (lambda repository: (repository / ENGINE).unlink(), {}, "model.cpu.onnx is missing"),
}


@pytest.mark.parametrize(("damage", "options", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_packed_is_refused_and_leaves_nothing(
    place: Workplace, tmp_path: Path, damage: Callable[[Path], Any], options: dict[str, Any], said: str
) -> None:
    damage(place.repository)
    archive = tmp_path / "out" / "moods.tar.gz"
    with pytest.raises(SmithError) as refused:
        pack(place.repository, archive=archive, **({"pipelines": ["moods"]} | options))
    assert said in str(refused.value)
    assert not archive.exists()
    assert not archive.parent.exists() or not list(archive.parent.iterdir())


def test_an_archive_that_stands_is_replaced_whole_or_not_at_all(place: Workplace, tmp_path: Path) -> None:
    archive = tmp_path / "moods.tar.gz"
    archive.write_bytes(b"before")
    (place.repository / ENGINE).unlink()
    with pytest.raises(SmithError):
        pack(place.repository, ["moods"], archive)
    assert archive.read_bytes() == b"before"


def test_the_command_says_what_it_made(place: Workplace, cli: Callable[..., Any], tmp_path: Path) -> None:
    ran = cli("pack", "moods", "--repository", place.repository, "--output", tmp_path / "m.tar.gz", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["archive"] == str(tmp_path / "m.tar.gz")
