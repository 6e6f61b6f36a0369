"""Token classifiers of several families, built and served without touching code, answering as transformers does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from served import Served, built_at_once, serving
from tiny_models import POSITIONS, save_token_classifier, sentences
from transformers import AutoTokenizer, pipeline
from tritonsmith import Client, InvalidInputError
from waiting import until

FAMILIES = ("bert", "roberta", "modernbert", "deberta")
ASKED = [pytest.param(name, marks=pytest.mark.full if name in ("modernbert", "deberta") else ()) for name in FAMILIES]
"""A WordPiece and a byte-level tokenizer at every change."""
STRATEGIES = ("none", "simple", "first", "average", "max")
TEXTS = [*sentences(30, seed=9), "neverfilm actoring", "  The Film,  WAS  awful… 😊 naïve", "film " * 200]
SPEC = 'task = "token-classification"\n[source]\npath = "models/{name}"\n[engine]\nmax_batch_size = 8\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entities")
    for seed, name in enumerate(FAMILIES):
        save_token_classifier(folder / "models" / name, name, seed=seed, tokenizer={"model_max_length": POSITIONS})
        (folder / f"{name}.toml").write_text(SPEC.format(name=name))
    return folder


@pytest.fixture(scope="module")
def own(folder: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    """The families that are asked for, and the two that are always."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    names = [name for name in FAMILIES if name in asked | {"bert", "roberta"}]
    repository = built_at_once([folder / f"{name}.toml" for name in names], folder / "repository")
    with serving(repository, folder / "log", "--no-cache") as served:
        yield served


def labels(answers: list[Any]) -> set[str]:
    return {entity.get("entity") or entity["entity_group"] for answer in answers for entity in answer}


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("name", ASKED)
def test_entities_are_those_of_transformers(own: Served, folder: Path, name: str) -> None:
    reference = pipeline("token-classification", model=str(folder / "models" / name))
    with Client(own.grpc) as client:
        pipe = client.pipeline(name)
        for strategy in STRATEGIES:
            wanted = reference(TEXTS, aggregation_strategy=strategy)
            assert len(labels(wanted)) >= 2
            assert_same(pipe(TEXTS, aggregation_strategy=strategy), wanted)
        assert_same(pipe(TEXTS[0]), reference(TEXTS[0]))
        with pytest.raises(AssertionError):
            assert_same(pipe(TEXTS[::-1]), reference(TEXTS))


def assert_same(actual: Any, wanted: Any) -> None:
    """The same entities in the same places, scores to the fourth place."""
    if isinstance(wanted, list):
        assert len(actual) == len(wanted)
        for one, other in zip(actual, wanted, strict=True):
            assert_same(one, other)
    else:
        assert actual == {**wanted, "score": pytest.approx(float(wanted["score"]), abs=1e-4)}


def test_callers_of_long_and_short_texts_at_once_get_their_own_entities(own: Served) -> None:
    texts = [text for pair in zip(TEXTS[:12], [f"{text} " * 4 for text in TEXTS[:12]], strict=True) for text in pair]
    with Client(own.grpc) as client, ThreadPoolExecutor(12) as pool:
        pipe = client.pipeline("roberta")
        alone = [pipe(text, aggregation_strategy="simple") for text in texts]
        together = list(pool.map(lambda text: pipe(text, aggregation_strategy="simple"), texts))
    assert_same(together, alone)


def test_a_strategy_that_there_is_not_is_refused(own: Served) -> None:
    with Client(own.grpc) as client:
        pipe = client.pipeline("bert")
        with pytest.raises(InvalidInputError, match=r"^aggregation_strategy cannot be 'last'; give one of none, simple"):
            pipe("film", aggregation_strategy="last")


def test_a_cut_text_is_counted(own: Served, folder: Path) -> None:
    def cut() -> float:
        with urlopen(own.metrics, timeout=10) as page:
            lines = page.read().decode().splitlines()
        counted = [line for line in lines if line.startswith('tritonsmith_truncated_inputs_total{model="bert_tokenize"')]
        return sum(float(line.rpartition(" ")[2]) for line in counted)

    tokens = AutoTokenizer.from_pretrained(folder / "models" / "bert")(TEXTS[-1])["input_ids"]
    assert len(tokens) > POSITIONS
    with Client(own.grpc) as client:
        before = cut()
        client.pipeline("bert")([TEXTS[-1], TEXTS[0]])
        until(lambda: cut() == before + 1, "it is not counted")  # told within a second
