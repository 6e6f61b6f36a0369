"""A run as files: a page for people, a record for machines, a table of seconds for anyone's own pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from load.pictures import course, split, stairs
from load.recording import Window
from load.results import Result

_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


def page(result: Result) -> str:
    """As HTML, whole by itself."""
    return _TEMPLATES.get_template("report.html.j2").render(
        result=result,
        load=result.scenario.load,
        course=course(result.windows) if result.windows else "",
        stairs=stairs(result.levels, result.knee) if result.levels else "",
        split=split(result.steps) if result.steps else "",
    )


def write(result: Result, folder: Path) -> None:
    """``report.html``, ``result.json`` and ``seconds.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(page(result), encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
    with (folder / "seconds.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Window)])
        table.writeheader()
        table.writerows(map(asdict, result.windows))
