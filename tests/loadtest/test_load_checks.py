"""A wrong answer is found, whatever kind it is, and a right one is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load.checks import WrongAnswerError, check

ANSWERS: dict[str, Any] = {
    "class": {"label": "GOOD", "score": 0.75},
    "classes": [{"label": "GOOD", "score": 0.75}, {"label": "BAD", "score": 0.25}],
    "vector": np.array([0.5, -0.5], np.float32),
    "text": "what was said",
}
WRONG: dict[str, list[Any]] = {
    "class": [{"label": "BAD", "score": 0.75}, {"label": "GOOD", "score": 0.5}, {"label": "GOOD"}, None, "GOOD"],
    "classes": [ANSWERS["classes"][::-1], ANSWERS["classes"][:1], [], {"label": "GOOD", "score": 0.75}],
    "vector": [np.array([0.5, 0.5], np.float32), np.zeros(3, np.float32), np.array([0.5, np.nan], np.float32)],
    "text": ["what was sai", ""],
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_same_answer_is_right(kind: str) -> None:
    check([ANSWERS[kind]] * 2, [ANSWERS[kind]] * 2, known=True, tolerance=1e-6)


@pytest.mark.parametrize(("kind", "wrong"), [(kind, wrong) for kind, several in WRONG.items() for wrong in several])
def test_another_answer_is_wrong_and_its_place_is_said(kind: str, wrong: Any) -> None:
    with pytest.raises(WrongAnswerError, match=r"^item 1: "):
        check([ANSWERS[kind], wrong], [ANSWERS[kind]] * 2, known=True, tolerance=0.01)


@given(st.floats(-1, 1), st.floats(-0.1, 0.1))
def test_numbers_may_differ_by_the_tolerance_and_no_more(number: float, difference: float) -> None:
    answer, wanted = {"score": number + difference}, {"score": number}
    if abs(answer["score"] - wanted["score"]) <= 0.01:
        check([answer], [wanted], known=True, tolerance=0.01)
    else:
        with pytest.raises(WrongAnswerError, match="differs by"):
            check([answer], [wanted], known=True, tolerance=0.01)


def test_an_answer_to_something_new_must_be_of_the_same_kind() -> None:
    check([{"label": "BAD", "score": 0.1}], [ANSWERS["class"]], known=False, tolerance=0.01)
    check([np.ones(2, np.float32)], [ANSWERS["vector"]], known=False, tolerance=0.01)
    for wrong, kind in (({"label": "BAD", "score": float("nan")}, "class"), (np.full(2, np.inf, np.float32), "vector")):
        with pytest.raises(WrongAnswerError):
            check([wrong], [ANSWERS[kind]], known=False, tolerance=0.01)


def test_an_item_without_an_answer_is_an_error() -> None:
    with pytest.raises(WrongAnswerError, match=r"^1 answers to 2 items$"):
        check([ANSWERS["class"]], [ANSWERS["class"]] * 2, known=True, tolerance=0.01)
