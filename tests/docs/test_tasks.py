"""The page on tasks names them all, with all that a caller may say, and its specs are specs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from served import ROOT
from tritonsmith.codec import TASKS as ASKED
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.tasks import JOINED, TASKS

PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\S+-\S+)\n(.*?)(?=^## )", PAGE, flags=re.DOTALL | re.MULTILINE))


def said(*options: str) -> str:
    command = [sys.executable, "-m", "tritonsmith_build", "tasks", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_every_task_has_a_section_a_client_and_a_row_of_the_list() -> None:
    assert list(SECTIONS) == list(TASKS | JOINED) == list(ASKED)
    assert [row["task"] for row in json.loads(said("--json"))] == list(TASKS | JOINED)
    table = said()
    assert all(task in table for task in TASKS | JOINED)


@pytest.mark.parametrize("task", SECTIONS)
def test_a_section_has_its_spec_and_names_every_option_and_tensor(task: str, tmp_path: Path) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", SECTIONS[task], flags=re.DOTALL | re.MULTILINE)
    file = tmp_path / "mine.toml"
    file.write_text(toml)
    assert spec_from_file(file).task == task
    for option in ASKED[task].options:
        assert option in SECTIONS[task]
    (tensors,) = re.findall(r"^Tensors: (.*)$", SECTIONS[task], flags=re.MULTILINE)
    named = set(re.findall(r"`([A-Z_]+)`", tensors.partition("→")[0]))
    row = (TASKS | JOINED)[task]
    assert named == {tensor.name for tensor in (*row.inputs, *row.options)}
