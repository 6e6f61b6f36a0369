"""Text, and text with a label, as people keep it: .txt with a line each, .tsv and .csv with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonsmith_build.errors import SmithError

TEXT_COLUMNS = ("text", "sentence")
LABEL_COLUMNS = ("label",)
_LONGEST_FIELD = 2**27
DELIMITERS = {".tsv": "\t", ".csv": ","}


@dataclass(frozen=True)
class Examples:
    """Texts, and for each one its label as written in the file (empty where the file has no labels)."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()


def label_ids(labels: Sequence[str], names: Sequence[str], *, where: object) -> list[int]:
    """Each label as its position in ``names``; a file may write the name or the position itself."""
    ids = {name: index for index, name in enumerate(names)}
    ids |= {str(index): index for index in range(len(names))}
    unknown = sorted(set(labels) - ids.keys())
    if unknown:
        raise SmithError(
            f"label {unknown[0]!r} is none of the model's {list(names)}",
            where=where,
            fix="write the label's name or its position, or set output.labels in the spec",
        )
    return [ids[label] for label in labels]


def examples_from_file(path: Path) -> Examples:
    """Read texts, and labels where there are any.

    ``.txt`` is a text a line. ``.tsv`` and ``.csv`` need a header with a column ``text`` or ``sentence``, and may have
    one named ``label``. Raises SmithError naming the file and the row that cannot be used.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SmithError("no such file", where=path, fix="correct the path, it is taken from the spec's folder") from None
    except UnicodeDecodeError as error:
        raise SmithError(f"not UTF-8 at byte {error.start}", where=path, fix="save the file as UTF-8") from None
    if path.suffix == ".txt":
        examples = Examples(tuple(line for line in content.split("\n") if line.strip()))
    elif path.suffix in DELIMITERS:
        examples = _from_table(content, path)
    else:
        raise SmithError(f"cannot read {path.suffix or 'a file without an ending'}", where=path, fix="use .tsv, .csv or .txt")
    if not examples.texts:
        raise SmithError("holds no text", where=path, fix="add at least one row")
    return examples


def _from_table(content: str, path: Path) -> Examples:
    # A tab-separated file has no quoting: a sentence may well begin with a quotation mark.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if path.suffix == ".tsv" else csv.QUOTE_MINIMAL
    csv.field_size_limit(_LONGEST_FIELD)
    lines = io.StringIO(content, newline="")
    reader = csv.DictReader(lines, delimiter=DELIMITERS[path.suffix], quoting=quoting)
    header = reader.fieldnames or []
    text = next((name for name in TEXT_COLUMNS if name in header), None)
    label = next((name for name in LABEL_COLUMNS if name in header), None)
    if text is None:
        raise SmithError(f"its header {list(header)} has no column 'text' or 'sentence'", where=path, fix="add a header")
    texts, labels = [], []
    for row in reader:
        if None in row:  # where csv keeps what has no column
            raise SmithError("more fields than the header names", where=f"{path}:{reader.line_num}", fix="quote or remove them")
        if not (row[text] or "").strip() or (label and not row[label]):
            raise SmithError("an empty field", where=f"{path}:{reader.line_num}", fix="fill it in or delete the row")
        texts.append(row[text])
        labels += [row[label]] if label else []
    return Examples(tuple(texts), tuple(labels))
