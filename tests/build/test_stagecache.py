"""A stage's result is made once and whole, and a disk that refuses is said so."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.stagecache import StageCache, code, digest, disk_errors, versions

DISK = {
    errno.ENOSPC: ("no space left on the disk", "free some, or set TRITONSMITH_CACHE or --repository to a folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some, or set TRITONSMITH_CACHE or --repository to a folder"),
    errno.EROFS: ("the file system is read-only", "set TRITONSMITH_CACHE or --repository to a folder that can be written"),
    errno.EACCES: ("permission denied", "set TRITONSMITH_CACHE or --repository to a folder that can be written"),
}


def nothing_in(folder: Path) -> bool:
    """Whether there is not a single file, hidden or not."""
    return not [path for path in folder.rglob("*") if path.is_file() or path.name.startswith(".")]


def write_result(folder: Path) -> None:
    """A stage that works."""
    (folder / "result").write_text("made")


def must_not_run(folder: Path) -> None:
    """A stage that is there already."""
    raise AssertionError(folder)


def test_a_stage_is_made_once(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    assert not cache.has("export", "abc")
    folder = cache.folder("export", "abc", write_result)
    assert (folder / "result").read_text() == "made"
    assert cache.has("export", "abc")
    assert cache.folder("export", "abc", must_not_run) == folder


@pytest.mark.parametrize(("stage", "key"), [("export", "abd"), ("read", "abc")], ids=["other-key", "other-stage"])
def test_another_key_or_stage_is_another_result(tmp_path: Path, stage: str, key: str) -> None:
    cache = StageCache(tmp_path)
    first = cache.folder("export", "abc", write_result)
    assert cache.folder(stage, key, lambda folder: None) != first


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit], ids=lambda error: error.__name__)
def test_a_stage_that_stops_leaves_nothing_and_can_run_again(tmp_path: Path, error: type[BaseException]) -> None:
    def stop(folder: Path) -> None:
        write_result(folder)
        raise error

    cache = StageCache(tmp_path)
    with pytest.raises(error):
        cache.folder("export", "abc", stop)
    assert not cache.has("export", "abc")
    assert nothing_in(tmp_path)
    assert (cache.folder("export", "abc", write_result) / "result").is_file()


def test_two_builds_of_one_stage_end_with_one_whole_result(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)

    def meanwhile(folder: Path) -> None:
        write_result(folder)
        StageCache(tmp_path).folder("export", "abc", write_result)

    folder = cache.folder("export", "abc", meanwhile)
    assert [path.name for path in folder.iterdir()] == ["result"]
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize("number", DISK, ids=lambda number: errno.errorcode[number])
def test_a_disk_that_refuses_becomes_an_error_with_a_fix(tmp_path: Path, number: int) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(number, os.strerror(number), str(folder / "model.onnx"))

    with pytest.raises(SmithError) as caught:
        StageCache(tmp_path).folder("export", "abc", refuse)
    what, fix = DISK[number]
    assert (caught.value.what, (caught.value.fix or "")[: len(fix)]) == (what, fix)
    assert str(caught.value.where).endswith("model.onnx")
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("number", DISK, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("depth", [1, 2], ids=["cause", "cause-of-the-cause"])
def test_a_refusal_that_a_library_has_wrapped_is_found(tmp_path: Path, number: int, depth: int) -> None:
    def refuse(depth: int) -> None:
        if depth == 0:
            raise OSError(number, os.strerror(number))
        try:
            refuse(depth - 1)
        except (OSError, RuntimeError) as error:
            raise RuntimeError("cannot export") from error

    with pytest.raises(SmithError) as caught, disk_errors(tmp_path):
        refuse(depth)
    assert (caught.value.what, caught.value.where) == (DISK[number][0], tmp_path)


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), OSError("no number"), FileNotFoundError(errno.ENOENT, "no such file"), SmithError("no", where="here")],
    ids=["value", "os-without-number", "not-found", "smith"],
)
def test_other_errors_pass_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_errors(tmp_path):
        raise error
    assert caught.value is error


def test_a_disk_that_is_really_full_is_said_so_and_left_as_it_was(small_disk: Path) -> None:
    def too_much(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(b"\0" * 2**20)

    with pytest.raises(SmithError) as caught:
        StageCache(small_disk).folder("export", "abc", too_much)
    assert caught.value.what == "no space left on the disk"
    assert nothing_in(small_disk)
    assert StageCache(small_disk).folder("export", "abc", write_result).is_dir()


def test_a_disk_that_is_really_read_only_is_said_so(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(SmithError) as caught:
        StageCache(small_disk).folder("export", "abc", write_result)
    assert caught.value.what == "the file system is read-only"
    assert str(small_disk) in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TRITONSMITH_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/tritonsmith"),
        ({"HOME": "/home/me"}, "/home/me/.cache/tritonsmith"),
        ({"HOME": "/home/me", "TRITONSMITH_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/tritonsmith"),
    ],
    ids=["own", "xdg", "home", "empty"],
)
def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("TRITONSMITH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert StageCache.default().root == Path(expected)


def test_digests_differ_where_their_parts_do() -> None:
    parts: list[tuple[object, ...]] = [(), (1,), ("1",), (1, 2), ([1, 2],), ({"a": 1},), ({"a": 2},), (None,), ("",), (True,)]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest({"a": 1, "b": 2}, Path("x")) == digest({"b": 2, "a": 1}, "x")


def test_a_digest_of_code_is_of_its_content() -> None:
    assert code("errors.py") == code("errors.py") != code("facts.py")
    assert code("errors.py", "facts.py") != code("facts.py", "errors.py")


def test_versions_are_those_of_the_packages_themselves() -> None:
    import onnx
    import tokenizers

    assert versions("onnx", "tokenizers") == {"onnx": onnx.__version__, "tokenizers": tokenizers.__version__}
