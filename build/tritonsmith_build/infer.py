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
from tritonsmith.codec import TASKS

from tritonsmith_build.errors import SmithError

# What a task's answer is called in JSON, and how it is shown in a cell or two of a table.
Row = Callable[[Any], dict[str, Any]]
_SHOWN_VALUES = 4


def _classes(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"classes": answer}


def _vector(answer: Any) -> dict[str, Any]:
    return {"embedding": np.asarray(answer).tolist()}


def _called(name: str) -> Row:
    return lambda answer: {name: answer}


ROWS: dict[str, Row] = {
    "text-classification": _classes,
    "zero-shot-classification": lambda answer: {key: answer[key] for key in ("labels", "scores")},
    "token-classification": _called("entities"),
    "question-answering": _called("answers"),
    "fill-mask": _called("tokens"),
    "feature-extraction": _vector,
    "text-ranking": _called("documents"),
}


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
    row, task = ROWS[pipe.info.task], TASKS[pipe.info.task]
    items = [_item(number, text, task.keys) for number, text in enumerate(texts)] if task.keys else list(texts)
    answers = pipe(items, **options)
    if task.unwraps_one and len(items) == 1:
        answers = [answers]
    return [{"text": text, **row(answer)} for text, answer in zip(texts, answers, strict=True)]


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
    for name, show in _CELLS.items():
        if name in row:
            return {name: show(row)}
    return {"label": row["label"], "score": _score(row["score"])}


def _score(score: float) -> str:
    return f"{score:.4f}"


def _values(row: dict[str, Any]) -> str:
    values = row["embedding"]
    return f"{' '.join(f'{value:+.4f}' for value in values[:_SHOWN_VALUES])} … ({len(values)} values)"


def _entity(entity: dict[str, Any]) -> str:
    label = entity.get("entity") or entity["entity_group"]
    return f"{label} {entity['word']!r} {entity['start']}–{entity['end']} {_score(entity['score'])}"


def _found(answer: dict[str, Any]) -> str:
    return f"{answer['answer']!r} {answer['start']}–{answer['end']} {_score(answer['score'])}"


def _filled(tokens: list[Any]) -> str:
    masks = tokens if isinstance(tokens[0], list) else [tokens]
    return " | ".join(", ".join(f"{token['token_str'].strip()} {_score(token['score'])}" for token in mask) for mask in masks)


_CELLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "embedding": _values,
    "entities": lambda row: ", ".join(map(_entity, row["entities"])),
    "classes": lambda row: ", ".join(f"{entry['label']} {_score(entry['score'])}" for entry in row["classes"]),
    "labels": lambda row: ", ".join(
        f"{label} {_score(score)}" for label, score in zip(row["labels"], row["scores"], strict=True)
    ),
    "answers": lambda row: ", ".join(map(_found, row["answers"] if isinstance(row["answers"], list) else [row["answers"]])),
    "tokens": lambda row: _filled(row["tokens"]),
    "documents": lambda row: ", ".join(f"{entry['corpus_id']} {_score(entry['score'])}" for entry in row["documents"]),
}


def _line(row: dict[str, Any]) -> str:
    return "\t".join([*cells(row).values(), row["text"]])


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("text", *cells(rows[0]), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(row["text"], *cells(row).values())
    return table
