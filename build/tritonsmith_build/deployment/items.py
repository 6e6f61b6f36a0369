"""What both versions are asked before a switch: a person's own items, or those that a build proves itself on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tritonsmith.codec import TASKS, ModelInfo

from tritonsmith_build.errors import SmithError
from tritonsmith_build.profiling.asking import ASKED

_TENSORS = {"text": "TEXT", "image": "IMAGE", "recording": "AUDIO"}


def items_for(info: ModelInfo, mask: str, data: Path | None, most: int) -> list[Any]:
    """So many at most, from ``data`` (a text a line, JSON lines where an item is a dictionary, or a folder of files) or else
    this package's own. In a text of these is a mask where the pipeline fills in masks.
    """
    task = TASKS[info.task]
    if task.keys and data is not None:
        return [_record(data, number, line, task.keys) for number, line in enumerate(_lines(data), start=1)][:most]
    found = ASKED[_TENSORS[task.item]].items(data)[:most]
    if task.item != "text":
        return found
    texts = [item.decode() for item in found]
    if task.keys:
        return [_made(task.keys, text, other) for text, other in zip(texts, [*texts[1:], texts[0]], strict=True)]
    return [f"{text} {mask}" for text in texts] if mask and data is None else texts


def options_for(info: ModelInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """A caller's options, and every class where the task would show the first alone."""
    known = TASKS[info.task].options
    every = {"top_k": None} if info.task in ("text-classification", "image-classification", "audio-classification") else {}
    labels = {"candidate_labels": ["politics", "sport", "science", "an animal", "a thing"]}
    return {**every, **{name: value for name, value in labels.items() if name in known}, **given}


def _made(keys: Sequence[str], text: str, other: str) -> dict[str, Any]:
    first, second = keys
    return {first: text, second: [text, other] if second == "documents" else other}


def _lines(data: Path) -> list[str]:
    try:
        return [line for line in data.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise SmithError("no such file", where=data, fix="give --data a file with a JSON object a line") from None


def _record(data: Path, number: int, line: str, keys: Sequence[str]) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        shape = ", ".join(f'"{key}": …' for key in keys)
        raise SmithError("it is no JSON", where=f"{data}, line {number}", fix=f"write {{{shape}}}") from None
