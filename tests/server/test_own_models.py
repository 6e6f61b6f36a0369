"""Models nobody here made, given by a folder: built and served without touching code, and answering as transformers does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from served import Served, built_at_once, serving
from tiny_models import POSITIONS, save_classifier, sentences
from transformers import pipeline
from tritonsmith import Client

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "roberta_five": {"family": "roberta", "labels": ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")},
    "several_at_once": {"family": "bert", "labels": ("FUNNY", "SAD", "LANG"), "problem_type": "multi_label_classification"},
    "one_class": {"family": "distilbert", "labels": ("TOXIC",)},
    "a_number": {"family": "bert", "labels": ("STARS",), "problem_type": "regression"},
}
SPEC = 'task = "text-classification"\n[source]\npath = "models/{name}"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    for seed, (name, made) in enumerate(CLASSIFIERS.items()):
        save_classifier(folder / "models" / name, seed=seed, **made)
        (folder / f"{name}.toml").write_text(SPEC.format(name=name))
    return folder


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[Served]:
    repository = built_at_once([folder / f"{name}.toml" for name in CLASSIFIERS], folder / "repository")
    with serving(repository, folder / "log", "--no-cache") as served:
        yield served


TEXTS = [*sentences(40, seed=7), "film " * 200]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_answers_as_transformers_does(own: Served, folder: Path, name: str) -> None:
    model = str(folder / "models" / name)
    reference = pipeline("text-classification", model=model)
    with Client(own.grpc) as client:
        pipe = client.pipeline(name)
        for options in ({}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}):
            for texts in (TEXTS, TEXTS[0]):
                wanted = reference(texts, truncation=True, max_length=POSITIONS, **options)
                assert_same(pipe(texts, **options), wanted)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_pairs_and_functions_are_answered_as_transformers_does(own: Served, folder: Path, name: str) -> None:
    reference = pipeline("text-classification", model=str(folder / "models" / name))
    pairs = [{"text": text, "text_pair": other} for text, other in pairwise(TEXTS)]
    with Client(own.http) as client:
        pipe = client.pipeline(name)
        for inputs in (pairs, pairs[0]):
            for options in ({}, {"top_k": None}, {"top_k": None, "function_to_apply": "none"}):
                wanted = reference(inputs, truncation=True, max_length=POSITIONS, **options)
                assert_same(pipe(inputs, **options), wanted)
        turned = [{"text": pair["text_pair"], "text_pair": pair["text"]} for pair in pairs]
        with pytest.raises(AssertionError):
            assert_same(pipe(turned, top_k=None), reference(pairs, truncation=True, max_length=POSITIONS, top_k=None))
        for function in ("softmax", "sigmoid"):
            options = {"top_k": None, "function_to_apply": function}
            assert_same(pipe(TEXTS, **options), reference(TEXTS, truncation=True, max_length=POSITIONS, **options))


def test_callers_of_texts_and_of_pairs_at_once_get_their_own_answers(own: Served) -> None:
    inputs = [*TEXTS[:20], *({"text": text, "text_pair": other} for text, other in pairwise(TEXTS[:20]))]
    with Client(own.grpc) as client, ThreadPoolExecutor(16) as pool:
        pipe = client.pipeline("roberta_five")
        alone = [pipe(item, top_k=None) for item in inputs]
        for _ in range(3):
            together = list(pool.map(lambda item: pipe(item, top_k=None), inputs))
            for one, other in zip(together, alone, strict=True):
                assert_same(one, other)


def assert_same(actual: Any, wanted: Any) -> None:
    """The same lists of the same labels, scores to the fourth place."""
    assert type(actual) is type(wanted)
    if isinstance(wanted, list):
        assert len(actual) == len(wanted)
        for one, other in zip(actual, wanted, strict=True):
            assert_same(one, other)
    else:
        assert actual["label"] == wanted["label"]
        assert actual["score"] == pytest.approx(wanted["score"], abs=1e-4)
