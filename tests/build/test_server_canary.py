"""Canaries: what is kept of a step's answer, and which other answer counts as wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.canary import DTYPES, Canary
from tritonsmith_build.server.wire import Tensor, packed

ASKED = {"TEXT": np.array([[b"Ready?"]], np.object_)}
NUMBERS = st.sampled_from([np.dtype(kind) for kind in DTYPES.values()])
ANY = NUMBERS.flatmap(lambda dtype: arrays(dtype, array_shapes(max_dims=3, max_side=4)))
TEXTS = arrays(np.object_, array_shapes(max_dims=2, max_side=4), elements=st.binary(max_size=20))


def test_types_are_those_of_tritonclient() -> None:
    assert all(np.dtype(triton_to_np_dtype(triton)) == np.dtype(kind) for triton, kind in DTYPES.items())


@given(st.lists(st.binary(max_size=50)))
def test_texts_travel_as_tritonclient_packs_them(texts: list[bytes]) -> None:
    raw = packed(texts)
    assert deserialize_bytes_tensor(raw).tolist() == texts
    if texts:
        assert raw == serialize_byte_tensor(np.array(texts, np.object_)).item()
    assert Tensor("TEXT", "BYTES", (len(texts), 1), raw).texts == texts


@given(ANY | TEXTS)
def test_an_answer_is_kept_whole_and_is_right_as_it_was(array: NDArray[Any]) -> None:
    made = Canary.of(ASKED, {"OUT": array})
    kept = json.loads(made.text())
    assert [Tensor.from_json(tensor) for tensor in kept["outputs"]] == list(made.outputs)
    assert made.differs(made.outputs) is None


def canary(**outputs: NDArray[Any]) -> Canary:
    return Canary.of(ASKED, outputs, 0.5)


@pytest.mark.parametrize(
    ("was", "is_now", "problem"),
    [
        (np.array([[1, 2]]), np.array([[1, 2]]), None),
        (np.array([[1, 2]]), np.array([[1, 3]]), "gives other values of OUT"),
        (np.array([[1, 2]]), np.array([[1, 2, 3]]), r"gives OUT in the shape \[1, 3\] instead of \[1, 2\]"),
        (np.array([[1, 2]]), np.array([[1.0, 2.0]]), "gives OUT as FP64 instead of INT64"),
        (np.float32([[1, 2]]), np.float32([[1.4, 2]]), None),
        (np.float32([[1, 2]]), np.float32([[1.6, 2]]), "gives other values"),
        (np.float32([[1, 2]]), np.float32([[np.nan, 2]]), "gives other values"),
        (np.float32([[[1], [2]]]), np.float32([[[1], [2], [0]]]), None),  # filled up to its batch's longest
        (np.float32([[[1], [2]]]), np.float32([[[1], [9], [0]]]), "gives other values"),
        (np.float32([[[1], [2]]]), np.float32([[[1]]]), "gives OUT in the shape"),
    ],
)
def test_numbers_may_be_off_by_the_tolerance_and_nothing_else(
    was: NDArray[Any], is_now: NDArray[Any], problem: str | None
) -> None:
    found = canary(OUT=was).differs(canary(OUT=is_now).outputs)
    assert found is None if problem is None else re.match(problem, found or "")


@pytest.mark.parametrize(
    ("was", "is_now", "right"),
    [
        (b"POSITIVE", b"POSITIVE", True),
        (b"POSITIVE", b"NEGATIVE", False),
        (b'[{"score": 0.5, "word": "a"}]', b'[{"score": 0.50001, "word": "a"}]', True),
        (b'[{"score": 0.5, "word": "a"}]', b'[{"score": 0.6, "word": "a"}]', False),
        (b'[{"score": 0.5, "word": "a"}]', b'[{"score": 0.5, "word": "b"}]', False),
        (b'[{"score": 0.5}]', b"[]", False),
        (b'{"a": 1}', b'{"b": 1}', False),
        (b"\x89PNG\r\n\x1a\n" + b"h" * 25 + b"packed so", b"\x89PNG\r\n\x1a\n" + b"h" * 25 + b"or so", True),
        (b"\x89PNG\r\n\x1a\n" + b"h" * 25, b"\x89PNG\r\n\x1a\n" + b"H" * 25, False),
    ],
)
def test_texts_are_the_same_but_for_rounding_and_packing(was: bytes, is_now: bytes, right: bool) -> None:
    asked, answered = (canary(OUT=np.array([[text]], np.object_)) for text in (was, is_now))
    assert (asked.differs(answered.outputs) is None) is right


def test_an_output_that_is_missing_is_named() -> None:
    assert canary(LABEL=np.array([1]), SCORE=np.array([2])).differs(canary(LABEL=np.array([1])).outputs) == "gives no SCORE"


@pytest.mark.parametrize("text", ["", "{}", '{"inputs": [], "outputs": [{"data": "x"}], "tolerance": 1}', "[]"])
def test_a_file_that_is_none_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "canary.cpu.json").write_text(text)
    with pytest.raises(SmithError, match=r"canary\.cpu\.json: cannot be read"):
        Canary.read(tmp_path / "canary.cpu.json")


def test_a_file_reads_as_it_was_written(tmp_path: Path) -> None:
    made = canary(OUT=np.float32([[1, 2]]), TEXT=np.array([[b"a"], [b""]], np.object_))
    (tmp_path / "canary.cpu.json").write_text(made.text())
    assert Canary.read(tmp_path / "canary.cpu.json") == made
