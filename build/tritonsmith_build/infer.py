"""``tritonsmith infer``: texts from the command line or standard input to a table or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from tritonsmith import Client, InvalidInputError, Pipeline

from tritonsmith_build.errors import SmithError

# What a task's answer is called in JSON, and how it is shown in a cell or two of a table.
Row = Callable[[Any], dict[str, Any]]
_SHOWN_VALUES = 4


def _classes(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"classes": answer}


def _vector(answer: Any) -> dict[str, Any]:
    return {"embedding": np.asarray(answer).tolist()}


def _entities(answer: Any) -> dict[str, Any]:
    return {"entities": answer}


ROWS: dict[str, Row] = {"text-classification": _classes, "token-classification": _entities, "feature-extraction": _vector}


def infer(
    name: str, texts: Sequence[str], *, url: str, timeout: float, options: dict[str, Any], as_json: bool, console: Console
) -> None:
    """Send the texts, or with ``-`` the lines of standard input as they come, and print an answer a text."""
    try:
        client = Client(url, timeout=timeout)
    except ValueError as error:
        raise SmithError(str(error), where="--url") from None
    with client:
        pipe = client.pipeline(name)
        if list(texts) == ["-"]:
            rows = _stream(pipe, _lines(), options)
            if as_json:
                _print_json(_with_progress(rows))
            else:
                for row in _with_progress(rows):
                    console.print(_line(row), highlight=False, soft_wrap=True, markup=False)
        elif as_json:
            _print_json(_answers(pipe, texts, options))
        else:
            console.print(_table(_answers(pipe, texts, options)))


def _answers(pipe: Pipeline, texts: Sequence[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    row = ROWS[pipe.info.task]
    return [{"text": text, **row(answer)} for text, answer in zip(texts, pipe(list(texts), **options), strict=True)]


def _lines() -> Iterator[tuple[int, str]]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            what = f"not UTF-8 at byte {error.start}"
            raise SmithError(what, where=f"standard input, line {number}", fix="convert it with iconv") from None
        if text.strip():
            yield number, text


def _stream(pipe: Pipeline, lines: Iterable[tuple[int, str]], options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Answers in the order of the lines, a few batches under way at a time."""
    lines = iter(lines)
    while block := list(islice(lines, 8 * max(1, pipe.info.max_batch_size))):
        try:
            yield from _answers(pipe, [text for _, text in block], options)
        except InvalidInputError as error:
            if error.item is None:
                raise
            line = block[error.item][0]
            raise SmithError(error.reason, where=f"standard input, line {line}", fix="correct it or leave it out") from None


def _with_progress(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed} answered"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("infer", total=None)
        for row in rows:
            yield row
            progress.advance(task)


def _print_json(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def cells(row: dict[str, Any]) -> dict[str, str]:
    """An answer as a person reads it: a score to four places, a vector by its first values."""
    if "embedding" in row:
        values = row["embedding"]
        first = " ".join(f"{value:+.4f}" for value in values[:_SHOWN_VALUES])
        return {"embedding": f"{first} … ({len(values)} values)"}
    if "entities" in row:
        return {"entities": ", ".join(_entity(entity) for entity in row["entities"])}
    if "classes" in row:
        return {"classes": ", ".join(f"{entry['label']} {entry['score']:.4f}" for entry in row["classes"])}
    return {"label": row["label"], "score": f"{row['score']:.4f}"}


def _entity(entity: dict[str, Any]) -> str:
    label = entity.get("entity") or entity["entity_group"]
    return f"{label} {entity['word']!r} {entity['start']}–{entity['end']} {entity['score']:.4f}"


def _line(row: dict[str, Any]) -> str:
    return "\t".join([*cells(row).values(), row["text"]])


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("text", *cells(rows[0]), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(row["text"], *cells(row).values())
    return table
