"""Real text as the engine's input, tokenized and padded exactly as the served steps do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.lengths import MASK
from tritonsmith_steps.tokenize import Padding, Tokenize, TokenizeSettings

from tritonsmith_build.errors import SmithError


def batches(
    tokenizer: Path,
    settings: TokenizeSettings,
    texts: Sequence[str],
    *,
    rows: int,
    length: int | None = None,
    padding: Padding = "longest",
) -> Iterator[Arrays]:
    """Consecutive batches of ``rows`` texts; ``length`` pads and cuts every row to it, else ``padding`` says how long."""
    # The engine's inputs alone, of texts one by one, however the task asks.
    settings = replace(settings, beside=(), reads="readers.texts", cut="longest_first", stride=0)
    if length is not None:
        settings, padding = replace(settings, max_length=length, buckets=(length,)), "bucket"
    step = Tokenize(Tokenizer.from_file(str(tokenizer)), settings, padding=padding, count=lambda name, amount: None)
    for start in range(0, len(texts), rows):
        column = np.array([[text.encode()] for text in texts[start : start + rows]], dtype=np.object_)
        (result,) = step([{"TEXT": column}])
        if isinstance(result, ValueError):
            raise SmithError(f"a text of the gate or calibration data cannot be used ({result})", fix="correct the data")
        yield result


def mixed_lengths(texts: Sequence[str], rows: int) -> list[str]:
    """``rows`` texts, by turns one as it is and one joined from many, so that a batch holds padding and full rows."""
    cycled = [texts[index % len(texts)] for index in range(rows + 40)]
    return [" ".join(cycled[row : row + 40]) if row % 2 == 0 else cycled[row] for row in range(rows)]


def shaped_batches(
    tokenizer: Path, settings: TokenizeSettings, texts: Sequence[str], row_counts: Iterable[int]
) -> dict[tuple[int, int], Arrays]:
    """By ``(rows, length)``: a batch of real texts of mixed lengths for every bucket and number of rows."""
    made = {}
    for length in settings.buckets:
        for rows in row_counts:
            (made[rows, length],) = batches(tokenizer, settings, mixed_lengths(texts, rows), rows=rows, length=length)
    return made


def run_all(session: object, data: Iterator[Arrays]) -> NDArray[np.float32]:
    """The engine's one output over all batches, ``[texts, width]``, or ``[tokens, width]`` where it answers every token."""
    return np.concatenate([counted(session.run(None, batch)[0], batch) for batch in data])  # type: ignore[attr-defined]


def counted(output: NDArray[np.float32], batch: Arrays) -> NDArray[np.float32]:
    """The rows of an engine's output that anybody reads: one a text, or one a token that is no padding."""
    return output[batch[MASK].astype(bool)] if output.ndim == 3 and MASK in batch else output
