"""The dashboards are as they are rendered, and each panel is one that Grafana can place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from served import ROOT

FOLDER = ROOT / "deploy" / "grafana"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))


def test_the_dashboards_are_as_they_are_rendered() -> None:
    done = subprocess.run([sys.executable, FOLDER / "render.py", "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [file.stem for file in FILES] == ["drift", "overview", "pipeline"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_stand_beside_each_other(file: Path) -> None:
    made = json.loads(file.read_text(encoding="utf-8"))
    assert made["uid"] == f"tritonsmith-{file.stem}"
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & taken, panel["title"]
        taken |= own
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "prometheus"
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
