"""``tritonsmith infer``: texts or files from the command line or standard input to a table or JSON lines."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from tritonsmith import Client, InvalidInputError, Pipeline
from tritonsmith.codec import TASKS

from tritonsmith_build.errors import SmithError

_SHOWN_VALUES = 4
_NAMES = ("label", "entity", "entity_group", "token_str", "answer", "corpus_id", "text")
"""What one of several answers is called by, whichever of them it has."""


def options_from(given: Sequence[str]) -> dict[str, Any]:
    """``name=value`` a time, the value as JSON where it is any, else a text. Raises SmithError for what has no ``=``."""
    options = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise SmithError(f"{one!r} is no option", where="--option", fix="write name=value, for example top_k=3")
        options[name] = _json_or_text(value)
    return options


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def infer(
    name: str,
    texts: Sequence[str],
    *,
    url: str,
    timeout: float,
    options: dict[str, Any],
    as_json: bool,
    console: Console,
    save: Path | None = None,
) -> None:
    """Send the texts or files, or with ``-`` the lines of standard input as they come, and print an answer each.

    ``save`` is a folder for the images with what was found in them drawn over.
    """
    try:
        client = Client(url, timeout=timeout)
    except ValueError as error:
        raise SmithError(str(error), where="--url") from None
    with client:
        pipe = client.pipeline(name)
        if save is not None and TASKS[pipe.info.task].item != "image":
            raise SmithError(f"{name} answers no images", where="--save", fix="leave it out")
        if list(texts) == ["-"]:
            rows = _stream(pipe, _lines(), options, save)
            if as_json:
                _print_json(_with_progress(rows))
            else:
                for row in _with_progress(rows):
                    console.print(_line(row), highlight=False, soft_wrap=True, markup=False)
        elif as_json:
            _print_json(_answers(pipe, texts, options, save))
        else:
            console.print(_table(_answers(pipe, texts, options, save)))


def _answers(pipe: Pipeline, texts: Sequence[str], options: dict[str, Any], save: Path | None) -> list[dict[str, Any]]:
    task = TASKS[pipe.info.task]
    items = [_item(number, text, task.keys) for number, text in enumerate(texts)] if task.keys else list(texts)
    answers = pipe(items, **options)
    beside: list[dict[str, Any]] = [{} for _ in texts]
    if options.get("return_truncated"):
        answers, cut = answers
        beside = [{"truncated": one} for one in cut]
    if task.unwraps_one and len(items) == 1:
        answers = [answers]
    if save is not None:
        from tritonsmith_build.drawing import draw_answer

        targets = [save / name for name in drawn_names(texts)]
        drawn = zip(map(Path, texts), answers, targets, strict=True)
        beside = [{"saved": str(draw_answer(*one))} for one in drawn]
    return [
        {task.item: text, **row_of(answer, task.called), **where}
        for text, answer, where in zip(texts, answers, beside, strict=True)
    ]


def drawn_names(files: Sequence[str]) -> list[str]:
    """A PNG's name for each file, a number added where files of several folders have the same.

    >>> drawn_names(["a/x.jpg", "b/x.png", "y.webp"])
    ['x.png', 'x-2.png', 'y.png']
    """
    seen: Counter[str] = Counter()
    names = []
    for stem in (Path(file).stem for file in files):
        seen[stem] += 1
        names.append(f"{stem}-{seen[stem]}.png" if seen[stem] > 1 else f"{stem}.png")
    return names


def row_of(answer: Any, called: str) -> dict[str, Any]:
    """An answer with names: those it has, else what its task calls it."""
    if isinstance(answer, Mapping):
        return {key: value for key, value in answer.items() if key != "sequence"}  # which is the text again
    if isinstance(answer, np.ndarray):
        return {called: answer.tolist()}
    return {called: [_without_mask(one) for one in answer] if called == "segments" else answer}


def _without_mask(segment: Mapping[str, Any]) -> dict[str, Any]:
    """A part of an image by the share of it that it is."""
    return {"label": segment["label"], "share": float(np.mean(np.asarray(segment["mask"]) > 0))}


def _item(number: int, text: str, keys: Sequence[str]) -> Any:
    """What a task that asks more than a text is asked, from JSON."""
    try:
        return json.loads(text)
    except ValueError:
        shape = ", ".join(f'"{key}": …' for key in keys)
        raise InvalidInputError(f"it is no JSON; write {{{shape}}}", item=number) from None


def _lines() -> Iterator[tuple[int, str]]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            what = f"not UTF-8 at byte {error.start}"
            raise SmithError(what, where=f"standard input, line {number}", fix="convert it with iconv") from None
        if text.strip():
            yield number, text


def _stream(
    pipe: Pipeline, lines: Iterable[tuple[int, str]], options: dict[str, Any], save: Path | None
) -> Iterator[dict[str, Any]]:
    """Answers in the order of the lines, a few batches under way at a time."""
    lines = iter(lines)
    while block := list(islice(lines, 8 * max(1, pipe.info.max_batch_size))):
        try:
            yield from _answers(pipe, [text for _, text in block], options, save)
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


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """An answer as a person reads it: a score to four places, a vector by its first values."""
    if "labels" in row:
        return {"labels": ", ".join(f"{label} {score:.4f}" for label, score in zip(row["labels"], row["scores"], strict=True))}
    return {key: _cell(value) for key, value in row.items()}


def _parted(row: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """What was asked, which comes first, and the cells of the answer."""
    (_, asked), *answer = row.items()
    return asked, cells(dict(answer))


def _cell(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4f}"
        case [float(), *_]:
            return f"{' '.join(f'{number:+.4f}' for number in value[:_SHOWN_VALUES])} … ({len(value)} values)"
        case [[*_], *_]:
            return " | ".join(map(_cell, value))
        case [*_]:
            return ", ".join(map(_one, value))
    return str(value)


def _one(answer: Mapping[str, Any]) -> str:
    """One of several: what it is called, where or when it is, its score."""
    name = str(next(answer[key] for key in _NAMES if key in answer)).strip()
    word = f" {answer['word']!r}" if "word" in answer else ""
    place = f" {answer['start']}–{answer['end']}" if "start" in answer else ""
    if "box" in answer:
        place = " {xmin},{ymin}–{xmax},{ymax}".format(**answer["box"])
    if "timestamp" in answer:
        return "{} {:.2f}–{:.2f} s".format(name, *answer["timestamp"])
    return f"{name}{word}{place} {answer['score']:.4f}" if "score" in answer else f"{name} {answer['share']:.1%}"


def _line(row: dict[str, Any]) -> str:
    asked, answer = _parted(row)
    return "\t".join([*answer.values(), asked])


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(next(iter(rows[0])), *_parted(rows[0])[1], box=None, pad_edge=False, header_style="bold")
    for asked, answer in map(_parted, rows):
        table.add_row(asked, *answer.values())
    return table
