from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tally import Tally
from transformers.pipelines.text_classification import ClassificationFunction, TextClassificationPipeline
from tritonsmith_steps.classify import Classify, ClassifySettings

LABELS = ["anger", "freude 😊", "悲しみ"]
Activation = Literal["softmax", "sigmoid", "none"]
ACTIVATIONS: tuple[Activation, ...] = ("softmax", "sigmoid", "none")
ORACLES = {"softmax": lambda x: scipy.special.softmax(x, axis=-1), "sigmoid": scipy.special.expit, "none": lambda x: x}

logits = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(3)), elements=st.floats(-1e4, 1e4, width=32))


def answers(activation: Activation, *many: np.ndarray, labels: list[str] = LABELS) -> list[list[list[tuple[str, float]]]]:
    """For each request, for each row, its classes as they come."""
    results = Classify(ClassifySettings(labels, activation))([{"logits": rows} for rows in many])
    made = []
    for result in results:
        assert isinstance(result, dict)
        assert result["SCORE"].dtype == np.float32
        pairs = zip(result["LABEL"], result["SCORE"], strict=True)
        made.append([[(label.decode(), float(score)) for label, score in zip(*row, strict=True)] for row in pairs])
    return made


def transformers_answer(activation: Activation, row: list[float]) -> list[tuple[str, float]]:
    config = SimpleNamespace(id2label=dict(enumerate(LABELS)))
    pipeline: Any = SimpleNamespace(model=SimpleNamespace(config=config))
    entries = TextClassificationPipeline.postprocess(
        pipeline,
        {"logits": torch.tensor([row])},
        function_to_apply=ClassificationFunction[activation.upper()],
        top_k=None,
        _legacy=False,
    )
    return [(entry["label"], entry["score"]) for entry in entries]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(st.lists(logits, min_size=1, max_size=5))
def test_every_request_gets_its_own_scores_by_falling_score(activation: Activation, many: list[np.ndarray]) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        made = answers(activation, *many)
    for rows, expected in zip(made, map(ORACLES[activation], many), strict=True):
        assert [[dict(row)[label] for label in LABELS] for row in rows] == [
            pytest.approx(row.tolist(), rel=1e-4, abs=1e-6) for row in expected
        ]
        for row in rows:
            scores = [score for _, score in row]
            assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "row",
    [[0.5, -1.5, 2.25], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [-4.0, 2.0, 2.0]],
    ids=["mixed", "falling", "all equal", "a tie for the first place"],
)
def test_classes_come_as_transformers_sorts_them(activation: Activation, row: list[float]) -> None:
    (((*made,),),) = answers(activation, np.array([row], dtype=np.float32))
    expected = transformers_answer(activation, row)
    assert [label for label, _ in made] == [label for label, _ in expected]
    assert [score for _, score in made] == pytest.approx([score for _, score in expected], rel=1e-5)


def test_a_batch_gives_what_single_calls_give() -> None:
    many = [np.random.default_rng(n).normal(size=(n + 1, 3)).astype(np.float32) for n in range(4)]
    assert answers("softmax", *many) == [answers("softmax", rows)[0] for rows in many]


def test_a_request_may_name_the_function_and_its_neighbours_keep_theirs() -> None:
    rows = np.array([[0.5, -1.5, 2.25]], dtype=np.float32)
    requests = [
        {"logits": rows} | ({"FUNCTION_TO_APPLY": np.array([[name]], dtype=np.object_)} if name else {})
        for name in (b"", b"Sigmoid", b"none", b"tanh", b"softmax")
    ]
    requests.append(
        {"logits": np.repeat(rows, 2, 0), "FUNCTION_TO_APPLY": np.array([[b"none"], [b"softmax"]], dtype=np.object_)}
    )
    requests.append({"logits": rows[:0], "FUNCTION_TO_APPLY": np.empty((0, 1), dtype=np.object_)})
    results = Classify(ClassifySettings(LABELS, "softmax"))(requests)
    softmax, sigmoid = (sorted(ORACLES[name](rows)[0].tolist(), reverse=True) for name in ("softmax", "sigmoid"))
    for index, expected in ((0, softmax), (1, sigmoid), (2, [2.25, 0.5, -1.5]), (4, softmax)):
        result = results[index]
        assert isinstance(result, dict)
        assert result["SCORE"][0].tolist() == pytest.approx(expected, rel=1e-4)
    assert str(results[3]) == "function_to_apply 'tanh' is unknown; use one of softmax, sigmoid, none"
    assert str(results[5]) == "function_to_apply differs between the items of a request; send them apart"


def test_a_single_class_is_scored_too() -> None:
    assert answers("sigmoid", np.array([[0.0]], dtype=np.float32), labels=["spam"]) == [[[("spam", 0.5)]]]


def test_step_json_names_the_classes(tmp_path: Path) -> None:
    (tmp_path / "step.json").write_text(json.dumps({"labels": ["no", "yes"], "activation": "softmax"}))
    (result,) = Classify.load(tmp_path, {}, Tally())([{"logits": np.array([[0.0, np.log(3)]], dtype=np.float32)}])
    assert isinstance(result, dict)
    assert result["LABEL"].tolist() == [[b"yes", b"no"]]
    np.testing.assert_allclose(result["SCORE"], [[0.75, 0.25]], rtol=1e-6)
