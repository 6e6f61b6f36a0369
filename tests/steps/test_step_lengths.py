"""A batch parted by length: every row once, where it was, in less padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tritonsmith_steps import runtimes
from tritonsmith_steps.lengths import Part, by_length, in_order
from tritonsmith_steps.runtimes import PLAIN, Choice, UnavailableError, opened

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=20)


def batch(lengths: list[int], width: int | None = None) -> dict[str, NDArray[Any]]:
    width = width or max(1, *lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int32)
    ids = np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape)
    return {"input_ids": ids, "attention_mask": mask}


@given(LENGTHS, st.integers(1, 5), st.sampled_from([1, 8]), st.integers(0, 9))
def test_every_row_is_in_one_part_with_all_its_tokens(lengths: list[int], parts: int, multiple: int, spare: int) -> None:
    whole = batch(lengths, max(1, *lengths) + spare)
    made = by_length(whole, parts, multiple)
    assert 1 <= len(made) <= parts
    assert sorted(np.concatenate([part.rows for part in made])) == list(range(len(lengths)))
    for part in made:
        width = part.batch["attention_mask"].shape[1]
        assert width % multiple == 0
        assert width - multiple < max(1, *(lengths[row] for row in part.rows)) <= width
        for at, row in enumerate(part.rows):
            kept = part.batch["attention_mask"][at].astype(bool)
            expected = whole["input_ids"][row][: lengths[row]]
            assert part.batch["input_ids"][at][kept].tolist() == expected.tolist()


@given(LENGTHS, st.integers(1, 5))
def test_outputs_come_back_where_their_rows_were(lengths: list[int], parts: int) -> None:
    whole = batch(lengths)
    made = by_length(whole, parts, 8)
    sums = in_order([(part.rows, (part.batch["input_ids"] * part.batch["attention_mask"]).sum(1)[:, None]) for part in made])
    assert sums.tolist() == (whole["input_ids"] * whole["attention_mask"]).sum(1)[:, None].tolist()


def test_parts_have_about_as_many_tokens_and_rows_of_like_length() -> None:
    short, long = by_length(batch([30, 5, 5, 30, 5, 5, 5, 5, 5, 5]), 2, 1)
    assert (sorted(short.rows), sorted(long.rows)) == ([1, 2, 4, 5, 6, 7, 8, 9], [0, 3])
    assert [len(part.rows) for part in by_length(batch([20] * 4), 2, 1)] == [2, 2]


def test_a_batch_without_a_mask_stays_whole() -> None:
    (part,) = by_length({"ids": np.ones((3, 5), np.int32)}, 2, 8)
    assert part.batch["ids"].shape == (3, 5)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sum of a row's embeddings, its padding left out."""
    table = np.random.default_rng(1).normal(size=(500, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
        helper.make_node("Mul", ["tokens", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "middle"], ["out"], keepdims=0),
    ]
    shape = ["rows", "length"]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["rows", 16])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "middle"),
        ],
    )
    path = tmp_path_factory.mktemp("lengths") / "sums.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.mark.parametrize("cores", ["together", "apart"])
def test_cores_apart_answer_as_one_engine_does(file: Path, cores: str) -> None:
    apart, plain = opened(Choice("openvino", "fp32", cores), file, threads=2), opened(PLAIN, file)
    for lengths in ([3], [9, 2], [17, 4, 30, 1, 8, 8], [12]):
        whole = batch(lengths)
        np.testing.assert_allclose(apart(whole), plain(whole), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cores", "parts"), [("together", 1), ("apart", 2)])
def test_apart_is_a_part_a_core(file: Path, cores: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(whole: dict[str, NDArray[Any]], parts: int, multiple: int) -> list[Part]:
        asked.append((parts, multiple))
        return by_length(whole, parts, multiple)

    monkeypatch.setattr(runtimes, "by_length", noted)
    opened(Choice("openvino", "fp32", cores), file, threads=2)(batch([9, 2, 5]))
    assert asked == [(parts, 8)]


def test_onnx_runtime_keeps_its_cores_together(file: Path) -> None:
    with pytest.raises(UnavailableError, match="no fp32 apart"):
        opened(Choice("onnxruntime", "fp32", "apart"), file)
