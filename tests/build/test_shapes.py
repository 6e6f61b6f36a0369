"""A precision is compared with FP32 in every shape: what is wrong at one length, or in a row of padding alone, is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from tiny_models import sentences
from tritonsmith_build.stages.shapes import Answer, answer_of, compare_shapes
from workbench import Exported

ROWS = 5
SHAPES = [(1, 16), (ROWS, 16), (1, 32), (ROWS, 32)]
GOOD = {"not_finite": 0, "max_abs_difference": 0.0, "relative_difference": 0.0}


@pytest.fixture
def case(exported: Callable[[str], Exported]) -> Exported:
    return exported("roberta-3")  # whose padding id is not 0


@pytest.fixture
def answer(case: Exported) -> Answer:
    return answer_of(onnxruntime.InferenceSession(case.file, providers=["CPUExecutionProvider"]))


def compared(case: Exported, reference: Answer, candidate: Answer, *, max_batch_size: int = ROWS) -> dict[Any, dict[str, Any]]:
    """The figures by shape."""
    samples = case.samples(sentences(9, seed=3))
    rows = compare_shapes(reference, candidate, samples, case.shapes, max_batch_size=max_batch_size)
    return {(row.pop("rows"), int(row.pop("shape").removesuffix(" tokens"))): row for row in rows}


def test_a_graph_is_itself_in_every_bucket_at_one_row_and_at_the_most(case: Exported, answer: Answer) -> None:
    figures = compared(case, answer, answer)
    assert list(figures) == SHAPES
    assert all(row == GOOD for row in figures.values())


def test_batches_hold_full_rows_short_ones_and_one_of_padding_alone(case: Exported) -> None:
    samples = case.samples(sentences(9, longest=6))
    batches = [samples.at(rows, shape, blank=rows > 1) for shape in case.shapes for rows in (1, ROWS)]
    made = {batch["input_ids"].shape: batch for batch in batches}
    assert list(made) == SHAPES
    for (rows, length), batch in made.items():
        tokens = batch["attention_mask"].sum(axis=1)
        assert tokens[0] == length
        if rows > 1:
            assert 2 < tokens[1] < length
            assert tokens[-1] == 0
            assert (batch["input_ids"][-1] == case.facts.pad_id).all()


def test_a_largest_batch_of_one_row_is_compared_once_and_is_no_padding(case: Exported, answer: Answer) -> None:
    figures = compared(case, answer, answer, max_batch_size=1)
    assert list(figures) == [(1, 16), (1, 32)]
    assert all(row == GOOD for row in figures.values())


def test_an_engine_that_is_wrong_in_one_bucket_alone_is_found(case: Exported, answer: Answer) -> None:
    def candidate(batch: Any) -> Any:
        output = answer(batch).copy()
        if batch["input_ids"].shape == (ROWS, 32):
            output[2] = output[2] * -1 + 0.5
        return output

    figures = compared(case, answer, candidate)
    wrong = figures.pop((ROWS, 32))
    assert all(row == GOOD for row in figures.values())
    assert wrong["not_finite"] == 0
    assert wrong["max_abs_difference"] > 0.5
    assert wrong["relative_difference"] > 0.5


def test_a_graph_that_is_wrong_for_long_texts_alone_is_found(case: Exported, answer: Answer, tmp_path: Path) -> None:
    """A real graph: its logits are multiplied by a number that a length over 16 makes other than 1."""
    model = onnx.load(case.file)
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "right"
    for name, value in (("sixteen", np.int64([16])), ("two", np.float32([1.5])), ("one", np.float32([1]))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["input_ids"], ["length"], start=1),
            helper.make_node("Greater", ["length", "sixteen"], ["long"]),
            helper.make_node("Where", ["long", "two", "one"], ["factor"]),
            helper.make_node("Mul", ["right", "factor"], ["logits"]),
        ]
    )
    onnx.save(model, tmp_path / "long.onnx")
    candidate = answer_of(onnxruntime.InferenceSession(tmp_path / "long.onnx", providers=["CPUExecutionProvider"]))
    differences = {shape: row["max_abs_difference"] for shape, row in compared(case, answer, candidate).items()}
    assert [shape for shape, difference in differences.items() if difference > 1e-4] == [(1, 32), (ROWS, 32)]


def test_not_a_number_for_the_row_of_padding_alone_is_counted_and_nothing_else(case: Exported, answer: Answer) -> None:
    def candidate(batch: Any) -> Any:
        output = answer(batch).copy()
        output[~batch["attention_mask"].any(axis=1)] = np.nan
        return output

    figures = compared(case, answer, candidate)
    assert {shape: row["not_finite"] for shape, row in figures.items()} == {(1, 16): 0, (5, 16): 1, (1, 32): 0, (5, 32): 1}
    assert all(row | {"not_finite": 0} == GOOD for row in figures.values())


def test_what_the_row_of_padding_is_answered_does_not_count(case: Exported, answer: Answer) -> None:
    def candidate(batch: Any) -> Any:
        output = answer(batch).copy()
        output[~batch["attention_mask"].any(axis=1)] = 1000
        return output

    assert all(row == GOOD for row in compared(case, answer, candidate).values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_engine_without_one_finite_answer_has_the_worst_figures(case: Exported, answer: Answer, value: float) -> None:
    figures = compared(case, answer, lambda batch: np.full_like(answer(batch), value))
    worst = {"max_abs_difference": np.inf, "relative_difference": np.inf}
    assert figures == {shape: {"not_finite": shape[0], **worst} for shape in SHAPES}
