"""The shapes an engine is built for: an optimization profile each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tritonsmith_build.modality import Dims, Shape


@dataclass(frozen=True)
class Profile:
    """Rows from 1 to ``max_rows``, tuned for ``best_rows`` of one shape of each input."""

    shapes: Mapping[str, Dims]
    """By input, without the batch: what it is tuned for."""
    best_rows: int
    max_rows: int
    least: Mapping[str, Dims] = field(default_factory=dict)
    """By input, the smallest shape where it is another."""
    most: Mapping[str, Dims] = field(default_factory=dict)
    """By input, the largest shape where it is another."""

    def range_of(self, name: str) -> tuple[Dims, Dims, Dims]:
        """The least, the best and the largest shape of an input, batch included."""
        best = self.shapes[name]
        return (1, *self.least.get(name, best)), (self.best_rows, *best), (self.max_rows, *self.most.get(name, best))

    def takes(self, name: str, dims: Dims) -> bool:
        """Whether an input may have this shape, without the batch."""
        (_, *least), _, (_, *most) = self.range_of(name)
        return len(dims) == len(least) and all(low <= size <= high for low, size, high in zip(least, dims, most, strict=True))


def profiles_for(shapes: Sequence[Shape], max_batch_size: int, *, best_rows: int | None = None) -> list[Profile]:
    """One profile a shape, from the table that the first step pads or resizes to; tuned for a quarter of the largest batch."""
    best = best_rows or max(1, max_batch_size // 4)
    return [Profile(shape.dims, best, max_batch_size, shape.least, shape.most) for shape in shapes]
