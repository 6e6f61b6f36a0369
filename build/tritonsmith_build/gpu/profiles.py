"""The shapes an engine is built for: an optimization profile a length bucket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """Rows from 1 to ``max_rows``, each input of one shape; tuned for ``best_rows``."""

    shapes: Mapping[str, Shape]
    """By input, without the batch."""
    best_rows: int
    max_rows: int

    def range_of(self, name: str) -> tuple[Shape, Shape, Shape]:
        """The least, the best and the largest shape of an input, batch included."""
        least, best, largest = ((rows, *self.shapes[name]) for rows in (1, self.best_rows, self.max_rows))
        return least, best, largest


def profiles_for(
    inputs: Iterable[str], buckets: Sequence[int], max_batch_size: int, *, best_rows: int | None = None
) -> list[Profile]:
    """One profile a bucket, from the table that the tokenizing step pads to; tuned for a quarter of the largest batch."""
    names, best = list(inputs), best_rows or max(1, max_batch_size // 4)
    return [Profile(dict.fromkeys(names, (length,)), best, max_batch_size) for length in buckets]
