"""A batch parted by length: every row once, where it was, in less padding."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from tritonsmith_steps import runtimes
from tritonsmith_steps.lengths import Part, by_length, in_order
from tritonsmith_steps.runtimes import Choice, opened, session_from_file


def rounded(length: int, width: int) -> int:
    """Of a row in a batch so wide; one that is masked as a whole is as wide."""
    return -(-(length or width) // 8) * 8


LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=20)


def batch(lengths: list[int], width: int | None = None) -> dict[str, NDArray[Any]]:
    width = width or max(1, *lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int32)
    ids = np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape)
    return {"input_ids": ids, "attention_mask": mask}


@given(LENGTHS, st.integers(1, 5), st.integers(0, 9))
def test_every_row_is_in_one_part_with_all_its_tokens(lengths: list[int], cores: int, spare: int) -> None:
    whole = batch(lengths, wide := max(1, *lengths) + spare)
    made = by_length(whole, cores)
    assert sorted(np.concatenate([part.rows for part in made])) == list(range(len(lengths)))
    for part in made:
        width = part.batch["attention_mask"].shape[1]
        assert width == max(rounded(lengths[row], wide) for row in part.rows)
        for at, row in enumerate(part.rows):
            kept = part.batch["attention_mask"][at].astype(bool)
            expected = whole["input_ids"][row][: lengths[row]]
            assert part.batch["input_ids"][at][kept].tolist() == expected.tolist()


@given(LENGTHS, st.integers(1, 5))
def test_outputs_come_back_where_their_rows_were(lengths: list[int], cores: int) -> None:
    whole = batch(lengths)
    made = by_length(whole, cores)
    sums = in_order([(part, (part.batch["input_ids"] * part.batch["attention_mask"]).sum(1)[:, None]) for part in made], whole)
    assert sums.tolist() == (whole["input_ids"] * whole["attention_mask"]).sum(1)[:, None].tolist()


@given(LENGTHS, st.integers(1, 5), st.integers(0, 9))
def test_outputs_of_every_token_come_back_where_their_tokens_were(lengths: list[int], cores: int, spare: int) -> None:
    whole = batch(lengths, max(1, *lengths) + spare)
    tokens = [(part, (part.batch["input_ids"] * part.batch["attention_mask"])[..., None]) for part in by_length(whole, cores)]
    assert in_order(tokens, whole)[..., 0].tolist() == (whole["input_ids"] * whole["attention_mask"]).tolist()


@given(st.lists(st.integers(0, 90), min_size=1, max_size=8))
def test_no_other_parts_of_neighbouring_lengths_cost_less(lengths: list[int]) -> None:
    ascending = sorted(rounded(length, max(1, *lengths)) for length in lengths)
    places = range(1, len(ascending))
    every = [cuts for count in range(len(ascending)) for cuts in combinations(places, count)]
    least = min(
        sum(32 + (stop - start) * ascending[stop - 1] for start, stop in pairwise([0, *cuts, len(ascending)])) for cuts in every
    )
    made = by_length(batch(lengths), 1)
    assert sum(32 + part.batch["attention_mask"].size for part in made) == least


@given(LENGTHS, st.integers(1, 5))
def test_no_part_is_much_more_than_its_share(lengths: list[int], cores: int) -> None:
    made = by_length(batch(lengths), cores)
    sizes = [part.batch["attention_mask"].size for part in made]
    assert sizes == sorted(sizes, reverse=True)
    whole = sum(part.batch["attention_mask"].size for part in by_length(batch(lengths), 1))
    for part in made:
        rows, width = part.batch["attention_mask"].shape
        assert rows == 1 or (rows - 1) * width <= 1.2 * whole / cores


def test_rows_of_like_length_are_shared_out_and_longer_ones_stay_apart() -> None:
    assert [len(part.rows) for part in by_length(batch([20] * 4), 2)] == [2, 2]
    long, *short = by_length(batch([80, 5, 5, 80, 5, 5, 5, 5, 5, 5]), 1)
    assert sorted(long.rows) == [0, 3]
    assert [sorted(part.rows) for part in short] == [[1, 2, 4, 5, 6, 7, 8, 9]]


def test_rows_without_a_mask_are_shared_out_as_they_are() -> None:
    ids = np.arange(15).reshape(3, 5)
    made = by_length({"ids": ids}, 2)
    assert [part.rows.tolist() for part in made] == [[0, 1], [2]]
    assert all((part.batch["ids"] == ids[part.rows]).all() for part in made)
    (alone,) = by_length({"ids": ids[:1]}, 2)
    assert alone.batch["ids"].tolist() == ids[:1].tolist()


def test_a_part_has_at_most_so_many_tokens() -> None:
    sizes = [part.batch["attention_mask"].size for part in by_length(batch([256] * 20 + [3000]), 1)]
    assert sizes[0] == 3000
    assert max(sizes[1:]) <= 2048
    assert sum(sizes) == 20 * 256 + 3000


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


def plain(file: Path, whole: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The whole batch in one go."""
    output: NDArray[Any] = session_from_file(file).run(None, whole)[0]
    return output


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_answer_as_one_engine_does(file: Path, runtime: str, threads: int) -> None:
    parted = opened(Choice(runtime, "fp32"), file, threads=threads)
    for lengths in ([3], [9, 2], [17, 4, 30, 1, 8, 8], [12]):
        whole = batch(lengths)
        np.testing.assert_allclose(parted(whole), plain(file, whole), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("runtime", "threads", "groups"),
    [
        *(("openvino", threads, groups) for threads, groups in [(1, 1), (2, 1), (4, 1), (5, 2), (16, 4)]),
        *(("onnxruntime", threads, 1) for threads in (1, 4, 16)),
    ],
)
def test_how_many_parts_are_worked_on_at_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, threads: int, groups: int
) -> None:
    asked = []

    def noted(whole: dict[str, NDArray[Any]], workers: int) -> list[Part]:
        asked.append(workers)
        return by_length(whole, workers)

    monkeypatch.setattr(runtimes, "by_length", noted)
    opened(Choice(runtime, "fp32"), file, threads=threads)(batch([9, 2, 5]))
    assert asked == [groups]


@pytest.mark.parametrize(("runtime", "raised"), [("openvino", RuntimeError), ("onnxruntime", InvalidArgument)])
def test_after_a_batch_that_fails_the_next_is_answered(file: Path, runtime: str, raised: type[Exception]) -> None:
    run = opened(Choice(runtime, "fp32"), file, threads=2)
    good = batch([9, 2, 5])
    for _ in range(3):
        with pytest.raises(raised):
            run({**good, "unheard_of": good["input_ids"]})
        np.testing.assert_allclose(run(good), plain(file, good), rtol=1e-5, atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 5))
def test_images_are_shared_out_as_they_are_and_come_back_in_order(rows: int, cores: int) -> None:
    whole = {"pixel_values": np.random.default_rng(rows).standard_normal((rows, 3, 4, 6)).astype(np.float32)}
    made = by_length(whole, cores)
    assert len(made) == min(rows, cores)
    for width in (whole["pixel_values"], whole["pixel_values"][:, 0], whole["pixel_values"][:, 0, 0]):
        np.testing.assert_array_equal(in_order([(part, width[part.rows]) for part in made], whole), width)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(1, 5))
def test_stretches_of_recordings_come_back_with_the_most_that_one_has(lengths: list[int], cores: int) -> None:
    whole = batch(lengths)
    parts = by_length(whole, cores)
    stretches = [(part, (part.batch["input_ids"] * part.batch["attention_mask"])[:, 2::3, None]) for part in parts]
    made = in_order(stretches, whole)
    assert made.shape[:2] == (len(lengths), max(output.shape[1] for _, output in stretches))
    wanted = (whole["input_ids"] * whole["attention_mask"])[:, 2::3]
    assert made[:, : wanted.shape[1], 0].tolist() == wanted[:, : made.shape[1]].tolist()
    assert not made[:, wanted.shape[1] :].any()


def test_a_row_that_is_masked_as_a_whole_keeps_its_length() -> None:
    whole = batch([64, 3, 64])
    whole["attention_mask"][[0, 2]] = 0  # as Triton's warm-up sends them
    assert sorted(part.batch["attention_mask"].shape for part in by_length(whole, 1)) == [(1, 8), (2, 64)]
