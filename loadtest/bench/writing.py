"""Puts the page and its pictures in their places."""

from __future__ import annotations

from pathlib import Path

from bench.notes import sections
from bench.page import page
from bench.places import DOCS, NOTES, PAGE
from bench.plots import draw
from bench.results import Results


def write(results: Results) -> list[Path]:
    """What was written."""
    notes = sections(NOTES.read_text(encoding="utf-8")) if NOTES.exists() else {}
    pictures = draw(results, DOCS)
    PAGE.write_text(page(results, notes), encoding="utf-8")
    return [PAGE, *pictures]
