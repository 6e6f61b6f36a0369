"""What a build must prove: the figures against other people's metrics, the limits one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics
from sklearn.metrics.pairwise import paired_cosine_distances
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import TextFacts
from tritonsmith_build.stages.gate import FIGURES, check, classify_figures, correlation_figures, embed_figures, mask_figures
from tritonsmith_build.tasks import TASKS
from tritonsmith_build.tasks.feature_extraction import EmbedGate
from tritonsmith_build.tasks.text_classification import ClassifyGate
from workbench import some_facts

THREE = some_facts()
MULTI_LABEL = some_facts(activation="sigmoid")
ONE_LABEL = some_facts(width=1, labels=("TOXIC",), activation="sigmoid")
STARS = some_facts(width=1, labels=("STARS",), activation="none")
VECTORS = some_facts(width=8, labels=(), activation="none")


def outputs(rows: int, width: int, *, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A reference and a candidate that differs from it by ``noise``."""
    draw = np.random.default_rng(seed)
    reference = draw.normal(size=(rows, width)).astype(np.float32)
    return reference, (reference + noise * draw.normal(size=reference.shape)).astype(np.float32)


# Figures


def test_a_classifiers_figures_are_those_of_scikit_learn() -> None:
    reference, candidate = outputs(200, 3, noise=0.5)
    labels = np.random.default_rng(4).integers(0, 3, size=200)
    figures = classify_figures(reference, candidate, labels.tolist(), THREE)
    expected, decided = reference.argmax(1), candidate.argmax(1)
    accuracy = metrics.accuracy_score(labels, decided)
    reference_accuracy = metrics.accuracy_score(labels, expected)
    assert accuracy != reference_accuracy
    assert figures == pytest.approx(
        {
            "not_finite": 0,
            "agreement": metrics.accuracy_score(expected, decided),
            "max_abs_difference": metrics.max_error(reference.ravel(), candidate.ravel()),
            "accuracy": accuracy,
            "reference_accuracy": reference_accuracy,
            "accuracy_drop": reference_accuracy - accuracy,
        }
    )


def test_texts_without_labels_have_no_accuracy() -> None:
    figures = classify_figures(*outputs(20, 3, noise=0.1), [], THREE)
    assert figures.keys() == {"not_finite", "agreement", "max_abs_difference"}


def test_a_multi_label_model_decides_on_every_class_by_itself() -> None:
    reference, candidate = outputs(200, 3, noise=0.5)
    figures = classify_figures(reference, candidate, [], MULTI_LABEL)
    assert figures["agreement"] == pytest.approx(1 - metrics.hamming_loss(reference > 0, candidate > 0))
    assert figures["agreement"] < 1


def test_a_single_yes_or_no_is_decided_at_one_half() -> None:
    reference, candidate = np.float32([[-0.1], [0.1], [3.0], [-3.0]]), np.float32([[0.1], [0.2], [0.3], [-9.0]])
    assert classify_figures(reference, candidate, [], ONE_LABEL)["agreement"] == 0.75


def test_a_regressions_value_agrees_when_its_tenths_do() -> None:
    reference, candidate = np.float32([[1.04], [2.06], [-0.04], [3.0]]), np.float32([[1.01], [2.04], [0.04], [3.2]])
    assert classify_figures(reference, candidate, [], STARS)["agreement"] == 0.5


def test_vectors_are_compared_by_cosine() -> None:
    reference, candidate = outputs(101, 8, noise=0.2)
    figures = embed_figures(reference, candidate, [], VECTORS)
    cosine = 1 - paired_cosine_distances(reference, candidate)
    expected = {"not_finite": 0, "cosine": cosine.mean(), "cosine_p01": sorted(cosine)[1], "cosine_least": cosine.min()}
    assert figures == pytest.approx(expected, abs=1e-6)  # of 101 values the second least is the first percentile


def test_a_vector_of_zeros_is_like_no_other() -> None:
    figures = embed_figures(np.ones((2, 4), np.float32), np.float32([[1, 1, 1, 1], [0, 0, 0, 0]]), [], VECTORS)
    assert figures == pytest.approx({"not_finite": 0, "cosine": 0.5, "cosine_p01": 0.01, "cosine_least": 0.0})


def test_the_correlation_is_that_of_the_worst_column() -> None:
    draw = np.random.default_rng(3)
    reference = draw.normal(size=(60, 2)).astype(np.float32)
    candidate = (reference + draw.normal(scale=[0.1, 0.5], size=(60, 2))).astype(np.float32)
    figures = correlation_figures(reference, candidate, [], THREE)
    worst = min(scipy.stats.pearsonr(reference[:, column], candidate[:, column]).statistic for column in range(2))
    assert figures["correlation"] == pytest.approx(worst, abs=1e-6)
    assert figures["max_abs_difference"] == pytest.approx(np.abs(reference - candidate).max())


def test_what_never_varies_must_be_equal() -> None:
    same, other = np.full((5, 1), 2, np.float32), np.full((5, 1), 3, np.float32)
    assert correlation_figures(same, same, [], THREE)["correlation"] == 1
    assert correlation_figures(same, other, [], THREE)["correlation"] == 0


def test_decisions_on_masks_count_the_masks_that_there_are() -> None:
    """Two places a text, the second text has one mask alone: three decisions, one of them another."""
    facts = some_facts(masks=2, width=6, activation="none", labels=())
    reference = np.float32([[0, 1, 0, 5, 0, 0], [0, 0, 7, 0, 0, 0]])
    candidate = np.float32([[0, 1, 0, 0, 5, 0], [0, 0, 6, 0, 0, 0]])
    figures = mask_figures(reference, candidate, [], facts)
    assert figures["agreement"] == pytest.approx(2 / 3)


def test_there_are_figures_for_the_output_of_every_task() -> None:
    assert {task.figures for task in TASKS.values()} == FIGURES.keys()


# Limits


def said_by(gate: ClassifyGate | EmbedGate, **figures: Any) -> str:
    """What is said when a limit does not hold."""
    with pytest.raises(SmithError) as caught:
        check("moods", gate, {"items": 40, **figures})
    return str(caught.value)


CLASSIFY_FINE = {"agreement": 0.99, "accuracy_drop": 0.0}
EMBED_FINE = {"cosine": 0.99, "cosine_p01": 0.98}


@pytest.mark.parametrize(
    ("gate", "figures", "figure", "shown", "limit", "bound"),
    [
        (ClassifyGate(), CLASSIFY_FINE | {"agreement": 0.97}, "agreement", "0.9700", "min_agreement", "0.98"),
        (ClassifyGate(), CLASSIFY_FINE | {"accuracy_drop": 0.02}, "accuracy_drop", "0.0200", "max_accuracy_drop", "0.01"),
        (EmbedGate(), EMBED_FINE | {"cosine": 0.98}, "cosine", "0.9800", "min_cosine", "0.985"),
        (EmbedGate(), EMBED_FINE | {"cosine_p01": 0.5}, "cosine_p01", "0.5000", "min_cosine_p01", "0.97"),
        (EmbedGate(), EMBED_FINE | {"cosine": float("nan")}, "cosine", "nan", "min_cosine", "0.985"),
        (ClassifyGate(), CLASSIFY_FINE | {"accuracy_drop": float("nan")}, "accuracy_drop", "nan", "max_accuracy_drop", "0.01"),
    ],
    ids=["agreement", "accuracy-drop", "cosine", "cosine-p01", "cosine-nan", "accuracy-drop-nan"],
)
def test_a_limit_that_does_not_hold_is_named_with_figure_and_fix(
    gate: ClassifyGate | EmbedGate, figures: dict[str, float], figure: str, shown: str, limit: str, bound: str
) -> None:
    assert said_by(gate, **figures) == (
        f"moods: gate: {figure} is {shown} on 40 items, the spec's gate.{limit} is {bound}; nothing was replaced. "
        "Try --precision fp32, calibration.data nearer to your own, "
        f"or, if you can live with it, another gate.{limit}"
    )


@pytest.mark.parametrize(
    ("gate", "figures"),
    [
        (ClassifyGate(), {"agreement": 0.98, "accuracy_drop": 0.01}),
        (ClassifyGate(), {"agreement": 1.0, "accuracy_drop": -0.5}),
        (ClassifyGate(), {"agreement": 0.98}),
        (EmbedGate(), {"cosine": 0.985, "cosine_p01": 0.97, "cosine_least": -1.0}),
    ],
    ids=["at-the-limit", "better-than-the-reference", "without-labels", "vectors-at-the-limit"],
)
def test_limits_hold_up_to_and_at_their_value(gate: ClassifyGate | EmbedGate, figures: dict[str, float]) -> None:
    check("moods", gate, {"items": 40, **figures})


@pytest.mark.parametrize(
    ("gate", "facts"),
    [(ClassifyGate(), THREE), (ClassifyGate(), MULTI_LABEL), (EmbedGate(), some_facts(labels=(), activation="none"))],
    ids=["classifier", "multi-label", "embedding"],
)
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "infinity"])
def test_a_single_answer_that_is_no_number_does_not_pass(gate: Any, facts: TextFacts, value: float) -> None:
    reference = np.tile(np.float32([2, 1, -1]), (40, 1))
    candidate = reference.copy()
    candidate[7, 0] = value
    figures = FIGURES["decisions" if facts.labels else "cosine"](reference, candidate, [], facts)
    assert said_by(gate, **figures) == (
        "moods: gate: 1 of 40 items are answered with NaN or infinity; nothing was replaced. Try --precision fp32"
    )
