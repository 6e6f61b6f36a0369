from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonsmith_steps.arrays import Arrays, gathered, padded, parted, spans

Rows = list[list[int]]


@st.composite
def ragged_requests(draw: st.DrawFn) -> list[Rows]:
    """Each request has rows of one length; the lengths differ between requests."""
    shapes = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=6))
    return [[[draw(st.integers(1, 99)) for _ in range(length)] for _ in range(rows)] for rows, length in shapes]


def requests_from(many: list[Rows]) -> list[Arrays]:
    return [{"ids": np.array(rows, dtype=np.int32)} for rows in many]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([], []), ([3], [(0, 3)]), ([2, 1, 4], [(0, 2), (2, 3), (3, 7)]), ([1, 0, 1], [(0, 1), (1, 1), (1, 2)])],
    ids=["none", "one", "three", "an empty one"],
)
def test_spans_follow_one_another(counts: list[int], expected: list[tuple[int, int]]) -> None:
    assert spans(counts) == expected


@given(ragged_requests(), st.integers(-3, 0))
def test_padding_fills_shorter_rows_on_the_right(many: list[Rows], fill: int) -> None:
    longest = max(len(rows[0]) for rows in many)
    expected = [row + [fill] * (longest - len(row)) for rows in many for row in rows]
    batch = padded(requests_from(many), "ids", fill)
    assert batch.tolist() == expected
    assert batch.dtype == np.int32


@given(ragged_requests())
def test_what_was_padded_together_parts_into_each_requests_own_rows(many: list[Rows]) -> None:
    parts = parted({"ids": padded(requests_from(many), "ids", 0)}, [len(rows) for rows in many])
    assert [part["ids"][:, : len(rows[0])].tolist() for part, rows in zip(parts, many, strict=True)] == many


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5), min_size=1, max_size=6))
def test_gathering_and_parting_leaves_every_request_as_it_was(many: list[list[tuple[int, int]]]) -> None:
    requests = [{"x": np.array(rows, dtype=np.float32)} for rows in many]
    batch = gathered(requests, "x")
    assert [tuple(row) for row in batch.tolist()] == [row for rows in many for row in rows]
    parts = parted({"x": batch, "twice": batch * 2}, [len(rows) for rows in many])
    assert [[tuple(row) for row in part["x"].tolist()] for part in parts] == many
    assert [[(a / 2, b / 2) for a, b in part["twice"].tolist()] for part in parts] == many
