"""What is seen of inputs and answers, and that it is numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.meters import METRICS, Sums
from tritonsmith_steps.watching import SCRIPTS, WATCHES, outcomes, script, watched

SECRET = "canary-7f3a"


def seen(step: str, given: Arrays, made: Arrays | ValueError) -> dict[tuple[str, str], int]:
    sums = Sums()
    watched(step, [given], [made], sums)
    return sums.handed_over()


def of(found: dict[tuple[str, str], int], name: str) -> dict[str, int]:
    return {part: count for (metric, part), count in found.items() if metric == name and count}


def texts(*rows: str) -> Arrays:
    return {"TEXT": np.array([row.encode() for row in rows], dtype=np.object_).reshape(-1, 1)}


def classes(scores: list[list[float]], labels: list[str]) -> Arrays:
    order = np.argsort(-np.array(scores), axis=1, kind="stable")
    names = np.array([label.encode() for label in labels], dtype=np.object_)
    return {"LABEL": names[order], "SCORE": np.take_along_axis(np.array(scores, dtype=np.float32), order, axis=1)}


def test_what_became_of_requests_is_counted() -> None:
    sums = Sums()
    outcomes([{}, ValueError("no"), {}], sums)
    assert sums.handed_over() == {("requests", "answered"): 2, ("requests", "refused"): 1}


def test_lengths_are_the_tokens_that_are_no_padding() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]] + [[1] * 4] * 3)
    found = of(seen("tokenize", texts("a"), {"attention_mask": np.hstack([mask, np.tile([[1] * 5 + [0]], (5, 1))])}), "length")
    assert found["8"] == 1
    assert found["16"] == found["+Inf"] == 5


def test_letters_are_counted_by_their_script() -> None:
    found = of(seen("tokenize", texts("Ça va?  123", "Привет", "你好 ありがとう", "ꙮ𐎀"), {}), "script")
    assert found == {"latin": 4, "cyrillic": 7, "cjk": 2, "hiragana": 5, "other": 1}


@given(st.binary(max_size=2000))
def test_whatever_comes_is_seen_as_one_of_a_few_scripts(raw: bytes) -> None:
    found = of(seen("tokenize", {"TEXT": np.array([[raw]], dtype=np.object_)}, {}), "script")
    assert found.keys() <= {*(name.lower() for name in SCRIPTS), "other"}
    assert sum(found.values()) <= 200


def test_the_start_of_a_text_alone_is_looked_at() -> None:
    assert of(seen("tokenize", texts("a" * 1000 + "ж" * 1000), {}), "script") == {"latin": 200}


@pytest.mark.parametrize("letter", ["é", "ß", "ï"])
def test_accents_are_latin(letter: str) -> None:
    assert script(letter) == "latin"


def test_the_likeliest_label_its_probability_and_the_doubt_are_seen() -> None:
    scores = [[0.9, 0.1], [0.5, 0.5], [0.02, 0.98]]
    found = seen("classify", {}, classes(scores, ["no", "yes"]))
    assert of(found, "label") == {"no": 2, "yes": 1}
    confidence, uncertainty = of(found, "confidence"), of(found, "uncertainty")
    assert (confidence.get("0.4", 0), confidence["0.5"], confidence["0.9"], confidence["0.99"]) == (0, 1, 2, 3)
    wanted = [entropy(row) / np.log(2) for row in scores]
    for bound in METRICS["uncertainty"].bounds:
        assert uncertainty.get(f"{bound:g}", 0) == sum(value <= bound + 1e-6 for value in wanted)


def test_labels_of_which_several_are_true_have_no_doubt_between_them() -> None:
    found = seen("classify", {}, classes([[0.9, 0.8, 0.1]], ["a", "b", "c"]))
    assert of(found, "confidence")["0.9"] == 1
    assert of(found, "uncertainty") == {}


@pytest.mark.parametrize("scores", [[[3.2, -1.0]], [[0.4]]])
def test_what_is_no_probability_is_not_taken_for_one(scores: list[list[float]]) -> None:
    found = seen("classify", {}, classes(scores, ["a", "b"][: len(scores[0])]))
    assert found.keys() == {("label", "a")}


def test_many_labels_are_not_told_apart() -> None:
    scores = np.full((1, 65), 1 / 65)
    found = seen("classify", {}, classes(scores.tolist(), [f"n{number}" for number in range(65)]))
    assert of(found, "label") == {}
    assert of(found, "uncertainty")["+Inf"] == 1


def test_embeddings_are_seen_by_their_length() -> None:
    found = of(seen("embed", {}, {"EMBEDDING": np.array([[3.0, 4.0], [1.0, 0.0]], dtype=np.float32)}), "norm")
    assert (found["1.01"], found["4"], found["8"]) == (1, 1, 2)


def test_a_text_is_in_nothing_that_is_counted() -> None:
    made: dict[str, Any] = {
        "attention_mask": np.ones((1, 4)),
        "LABEL": np.array([[b"no", b"yes"]], dtype=np.object_),
        "SCORE": np.array([[0.6, 0.4]]),
        "EMBEDDING": np.ones((1, 2)),
    }
    for step in WATCHES:
        assert SECRET not in str(seen(step, texts(SECRET), made))
