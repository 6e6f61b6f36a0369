"""``tritonsmith tasks``: what a pipeline can be for."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from tritonsmith.codec import TASKS as ASKED

from tritonsmith_build.tasks import JOINED, TASKS


def listed() -> list[dict[str, Any]]:
    """Each task: what it answers, the class that loads its model, what an item is, and which options a caller may give."""
    return [
        {
            "task": name,
            "answers": task.about,
            "model": task.auto_model,
            "item": list(ASKED[name].keys) or [ASKED[name].item],
            "options": list(ASKED[name].options),
        }
        for name, task in (TASKS | JOINED).items()
    ]


def table() -> Table:
    """As a person reads it."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("task", "answers", "item", "options"):
        made.add_column(title, no_wrap=title in ("task", "options"))
    for row in listed():
        made.add_row(row["task"], row["answers"], ", ".join(row["item"]), "\n".join(row["options"]))
    return made
