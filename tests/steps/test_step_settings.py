from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from tritonsmith_steps.settings import settings_from


@dataclass(frozen=True)
class Oven:
    degrees: int
    dishes: list[str]


def folder_with(folder: Path, text: str | bytes) -> Path:
    (folder / "step.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def test_settings_are_read_from_step_json(tmp_path: Path) -> None:
    folder_with(tmp_path, json.dumps({"dishes": ["crème brûlée"], "degrees": 180}, ensure_ascii=False))
    assert settings_from(tmp_path, Oven) == Oven(degrees=180, dishes=["crème brûlée"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"degrees": 180}', ["dishes"]),
        ('{"degrees": 180, "dishes": [], "fan": true}', ["fan"]),
        ('{"degrees": 180, "dish": []}', ["dish", "dishes"]),
    ],
    ids=["missing key", "unknown key", "misspelt key"],
)
def test_a_wrong_key_is_named_with_its_file_and_the_fix(tmp_path: Path, text: str, named: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'step.json'}: ")) as caught:
        settings_from(folder_with(tmp_path, text), Oven)
    words = re.findall(r"\w+", str(caught.value).partition("step.json: ")[2])
    assert [word for word in words if word in {"degrees", "dish", "dishes", "fan"}] == named
    assert str(caught.value).endswith("; run: tritonsmith render")


def test_a_missing_file_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step\.json: cannot be read .*No such file.*; run: tritonsmith render"):
        settings_from(tmp_path, Oven)


@pytest.mark.parametrize("text", ["", '{"degrees": 180,', b'{"degrees": "\xff"}'], ids=["empty", "cut off", "not UTF-8"])
def test_an_unreadable_file_is_named_with_the_fix(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"step\.json: cannot be read .*; run: tritonsmith render"):
        settings_from(folder_with(tmp_path, text), Oven)
