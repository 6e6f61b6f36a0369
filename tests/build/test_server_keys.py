"""The admin key's file: made for its owner alone, refused where others could read it, never repeated."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.keys import admin_key, flags, headers, read_key


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "admin.key"
    key = admin_key(file)
    assert len(key) >= 43  # 32 random bytes
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert admin_key(file) == read_key(file) == key
    assert admin_key(tmp_path / "other.key") != key


def test_two_that_start_at_once_have_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    for number in range(20):
        found.clear()
        starts = [threading.Thread(target=lambda: found.append(admin_key(tmp_path / f"{number}.key"))) for _ in range(4)]  # noqa: B023
        for one in starts:
            one.start()
        for one in starts:
            one.join()
        assert len(found) == 4
        assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "admin.key"
    key = admin_key(file)
    file.chmod(mode)
    with pytest.raises(SmithError, match="others may read the key in it; run: chmod 600") as raised:
        read_key(file)
    assert key not in str(raised.value)


@pytest.mark.parametrize("content", ["", "short", "with spaces in it, and long", "k" * 40 + ":value", "ß" * 20])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, content: str) -> None:
    file = tmp_path / "admin.key"
    file.touch(0o600)
    file.write_text(content)
    with pytest.raises(SmithError, match=r"admin\.key: (what it holds is no key|cannot be read)") as raised:
        read_key(file)
    assert not content or content not in str(raised.value)


def test_where_there_is_no_key_nothing_is_restricted() -> None:
    assert (flags(""), headers("")) == ([], {})
