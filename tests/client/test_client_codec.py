from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2
from tritonsmith import InvalidInputError, ServerError
from tritonsmith.answers import decode_vectors
from tritonsmith.calls import Call, encode_texts
from tritonsmith.codec import TASKS, ModelInfo, decoded, encoded, info_from_config
from wild_text import any_text

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@given(st.lists(any_text, min_size=1, max_size=20), st.integers(0, 7))
def test_texts_are_cut_into_requests_that_lose_nothing(texts: list[str], max_batch_size: int) -> None:
    call = encode_texts(texts, max_batch_size)
    parts = [[value.decode() for (value,) in request["TEXT"]] for request in call.requests]
    assert list(chain.from_iterable(parts)) == texts
    assert all(len(part) == max(1, max_batch_size) for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= max(1, max_batch_size)
    assert [texts[offset] for offset in call.offsets] == [part[0] for part in parts]
    assert {request["TEXT"].dtype for request in call.requests} == {np.dtype(np.object_)}
    assert not call.single


@pytest.mark.parametrize(
    ("texts", "single"),
    [("a", True), (["a"], False), (("a",), False), (np.array(["a"]), False), (np.array(["a"], dtype=object), False)],
    ids=["text", "list", "tuple", "array of str", "array of objects"],
)
def test_a_single_text_is_told_from_a_list(texts: Any, single: bool) -> None:
    call = encode_texts(texts, 8)
    assert call.single is single
    assert [request["TEXT"].tolist() for request in call.requests] == [[[b"a"]]]


@pytest.mark.parametrize("texts", [[], (), np.array([], dtype=str)], ids=["list", "tuple", "array"])
def test_no_text_at_all_is_refused(texts: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^no text was given; give at least one$") as caught:
        encode_texts(texts, 8)
    assert caught.value.item is None


@pytest.mark.parametrize(
    "texts",
    [b"bytes", {"text": "a"}, 5, None, {"a", "b"}, (text for text in "ab")],
    ids=["bytes", "dict", "int", "None", "set", "generator"],
)
def test_what_is_neither_text_nor_list_is_refused_by_its_type(texts: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_texts(texts, 8)
    assert str(caught.value) == f"a text or a list of texts is needed, not {type(texts).__name__}"


@pytest.mark.parametrize(
    "item", [b"bytes", {"text": "a"}, 5, None, ["nested"], 1.5], ids=["bytes", "dict", "int", "None", "list", "float"]
)
def test_an_item_that_is_no_text_is_named(item: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_texts(["fine", "fine", item, 7], 2)
    assert caught.value.item == 2
    assert str(caught.value) == f"item 2: a text is needed, not {type(item).__name__} {item!r}"


def test_a_huge_item_is_not_shown_whole() -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_texts([b"x" * 10_000], 2)
    assert len(str(caught.value)) < 100


@given(any_text, st.characters(categories=["Cs"]), any_text)
def test_half_a_surrogate_pair_is_named_by_item_and_character(before: str, half: str, after: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_texts(["fine", before + half + after], 8)
    assert caught.value.item == 1
    assert f"character {len(before)} " in caught.value.reason


QUERIES = st.lists(st.tuples(any_text, st.lists(any_text, min_size=1, max_size=9)), min_size=1, max_size=12)


@given(QUERIES, st.integers(1, 8))
def test_queries_share_a_request_where_they_have_equally_many_documents_and_room(queries: Any, size: int) -> None:
    items = [{"query": query, "documents": documents} for query, documents in queries]
    call = TASKS["text-ranking"].encode(items, size)
    made = []
    for request, offset in zip(call.requests, call.offsets, strict=True):
        assert len(made) == offset
        assert len(request["QUERY"]) == 1 or request["DOCUMENTS"].size <= size
        for query, documents in zip(request["QUERY"], request["DOCUMENTS"], strict=True):
            made.append({"query": query[0].decode(), "documents": [document.decode() for document in documents]})
    assert made == items


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"question": "a"}, "item 0: a question is {'question': …, 'context': …}, not the keys 'question'"),
        ({"question": "a", "context": 5}, "item 0: a text is needed, not int 5"),
        ("who?", "item 0: a question is {'question': …, 'context': …}, not str"),
    ],
    ids=["key missing", "number", "text"],
)
def test_a_question_without_its_context_is_refused(item: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{re.escape(said)}"):
        TASKS["question-answering"].encode(item if isinstance(item, str) else [item], 8)


def test_documents_may_not_be_empty() -> None:
    with pytest.raises(InvalidInputError, match=r"^item 0: documents is empty; give at least one$"):
        TASKS["text-ranking"].encode({"query": "a", "documents": []}, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "topics needs candidate_labels; give a list of texts"),
        ({"candidate_labels": []}, "candidate_labels cannot be []; give a list of texts"),
        ({"candidate_labels": ["a"], "multi_label": 1}, "multi_label cannot be 1; give True or False"),
    ],
    ids=["none", "empty", "no flag"],
)
def test_an_option_that_is_needed_or_makes_no_sense_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{re.escape(said)}$"):
        encoded(ModelInfo("topics", "zero-shot-classification", 8), "rain", options)


@pytest.mark.parametrize("labels", [["a", "b", "c"], ("a", "b", "c"), "a, b,c"], ids=["list", "tuple", "text"])
def test_labels_go_with_every_text_and_share_out_the_batch(labels: Any) -> None:
    options = {"candidate_labels": labels, "multi_label": True}
    call = encoded(ModelInfo("topics", "zero-shot-classification", 8), ["x", "y", "z"], options)
    assert [request["TEXT"].tolist() for request in call.requests] == [[[b"x"], [b"y"]], [[b"z"]]]
    assert call.requests[0]["CANDIDATE_LABELS"].tolist() == [[b"a", b"b", b"c"]] * 2
    assert call.requests[0]["MULTI_LABEL"].tolist() == [[True]] * 2
    assert call.requests[0]["MULTI_LABEL"].dtype == np.bool_


@pytest.mark.parametrize(("name", "task"), [("sentiment", "text-classification"), ("embeddings", "feature-extraction")])
def test_a_served_pipeline_says_its_task_and_batch_size(name: str, task: str) -> None:
    config = text_format.Parse((REPOSITORY / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    as_json = json.loads(json_format.MessageToJson(config, preserving_proto_field_name=True))
    assert info_from_config(name, as_json) == ModelInfo(name, task, config.max_batch_size)


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({}, "it names no task"),
        ({"parameters": {}}, "it names no task"),
        ({"parameters": {"task": {"string_value": "translation"}}}, "its task is 'translation'"),
    ],
    ids=["no parameters", "no task", "another task"],
)
def test_a_model_that_is_no_pipeline_is_refused_by_name(parameters: dict[str, Any], what: str) -> None:
    with pytest.raises(ServerError) as caught:
        info_from_config("resnet", {"max_batch_size": 8, **parameters})
    assert str(caught.value).startswith("resnet ")
    assert what in str(caught.value)
    assert all(task in str(caught.value) for task in TASKS)


def test_a_model_without_batching_takes_one_text_a_request() -> None:
    info = info_from_config("demo", {"parameters": {"task": {"string_value": "feature-extraction"}}})
    assert len(encode_texts(["a", "b"], info.max_batch_size).requests) == 2


@pytest.mark.parametrize("single", [True, False], ids=["single", "list"])
def test_vectors_of_all_requests_follow_one_another(single: bool) -> None:
    parts = [np.array([[1, 2]], dtype=np.float32), np.array([[3, 4], [5, 6]], dtype=np.float32)]
    made = decode_vectors([{"EMBEDDING": part} for part in parts], Call((), (), single))
    assert made.dtype == np.float32
    assert made.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_targets_are_no_rows_of_the_engine_and_a_text_is_one_of_them() -> None:
    info = ModelInfo("fill", "fill-mask", 8)
    (request,) = encoded(info, ["a [MASK]"] * 8, {"targets": ["good, or bad", "plot", "film"]}).requests
    assert request["TARGETS"].shape == (8, 3)
    (alone,) = encoded(info, "a [MASK]", {"targets": "good, or bad"}).requests
    assert alone["TARGETS"].tolist() == [[b"good, or bad"]]
    labels = encoded(ModelInfo("topics", "zero-shot-classification", 8), ["a"] * 8, {"candidate_labels": "x, y"}).requests
    assert [len(request["TEXT"]) for request in labels] == [4, 4]


def test_an_answer_that_lacks_a_part_is_the_servers_error() -> None:
    info = ModelInfo("moods", "text-classification", 8)
    call = encoded(info, "a text", {})
    with pytest.raises(ServerError, match=r"^moods answered without LABEL; render and build it again with"):
        decoded(info, [{"SCORE": np.ones((1, 2), np.float32)}], call, {})


@pytest.mark.parametrize(
    ("texts", "cut", "expected"),
    [("a", [[True]], True), (["a"], [[False]], [False]), (["a", "b", "c"], [[True], [False]], [True, False, True])],
    ids=["text", "list of one", "several requests"],
)
def test_whether_items_were_cut_comes_beside_the_answers_where_it_is_asked(texts: Any, cut: Any, expected: Any) -> None:
    info, options = ModelInfo("moods", "text-classification", 2), {"return_truncated": True}
    call = encoded(info, texts, options)
    assert all(request.keys() == {"TEXT"} for request in call.requests)
    outputs = []
    for request in call.requests:
        rows = len(request["TEXT"])
        labels, scores = np.array([[b"A"]] * rows, dtype=object), np.ones((rows, 1), np.float32)
        outputs.append({"LABEL": labels, "SCORE": scores, "TRUNCATED": np.array(cut[:rows])})
    answers, said = decoded(info, outputs, call, options)
    assert answers == decoded(info, outputs, call, {})
    assert said == expected
    silent = [{name: array for name, array in output.items() if name != "TRUNCATED"} for output in outputs]
    assert not np.any(decoded(info, silent, call, options)[1])
