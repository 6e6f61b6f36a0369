"""One question, one answer: whatever the protocol, the client, the batch and the neighbours."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

import numpy as np
import pytest
from served import Served
from tritonsmith import AsyncClient, Client

TEXTS = [
    "A delight from start to finish.",
    "No.",
    "Das Essen war kalt, die Bedienung freundlich. 🍲",
    "映画はとても良かったです。",
    "فيلم رائع من البداية إلى النهاية",
    "one\x00two\x00",
    "The first hour drags, the second wanders, and the third is spent explaining both. " * 12,
]


@pytest.fixture(scope="module")
def wanted(fp32: Served) -> dict[str, Any]:
    """What one text at a time is answered over gRPC."""
    with Client(fp32.grpc) as client:
        sentiment, embeddings = client.pipeline("sentiment"), client.pipeline("embeddings")
        return {
            "sentiment": [sentiment(text, top_k=None) for text in TEXTS],
            "embeddings": np.concatenate([embeddings(text) for text in TEXTS]),
        }


def assert_same(wanted: dict[str, Any], classes: Any, vectors: Any) -> None:
    for actual, expected in zip(classes, wanted["sentiment"], strict=True):
        assert [entry["label"] for entry in actual] == [entry["label"] for entry in expected]
        np.testing.assert_allclose([e["score"] for e in actual], [e["score"] for e in expected], atol=2e-6)
    np.testing.assert_allclose(vectors, wanted["embeddings"], atol=2e-6)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_batch_gives_what_single_calls_give(fp32: Served, wanted: dict[str, Any], protocol: str) -> None:
    with Client(getattr(fp32, protocol)) as client:
        assert_same(wanted, client.pipeline("sentiment")(TEXTS, top_k=None), client.pipeline("embeddings")(TEXTS))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_asyncio_client_gives_the_same(fp32: Served, wanted: dict[str, Any], protocol: str) -> None:
    async def ask() -> tuple[Any, Any]:
        async with AsyncClient(getattr(fp32, protocol)) as client:
            sentiment, embeddings = await client.pipeline("sentiment"), await client.pipeline("embeddings")
            return await asyncio.gather(sentiment(TEXTS, top_k=None), embeddings(TEXTS))

    assert_same(wanted, *asyncio.run(ask()))


def post(url: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        answer: dict[str, Any] = json.load(reply)
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in answer["outputs"]}


def test_plain_json_gives_the_same(fp32: Served, wanted: dict[str, Any]) -> None:
    body = {"inputs": [{"name": "TEXT", "shape": [len(TEXTS), 1], "datatype": "BYTES", "data": TEXTS}]}
    classes = post(f"{fp32.http}/v2/models/sentiment/infer", body)
    rows = [
        [{"label": label, "score": score} for label, score in zip(*row, strict=True)]
        for row in zip(classes["LABEL"], classes["SCORE"], strict=True)
    ]
    assert_same(wanted, rows, post(f"{fp32.http}/v2/models/embeddings/infer", body)["EMBEDDING"])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_list_longer_than_the_batch_is_split_and_comes_back_in_order(fp32: Served, protocol: str) -> None:
    texts = [f"Number {index} of many." for index in range(100)]
    with Client(getattr(fp32, protocol)) as client:
        pipe = client.pipeline("embeddings")
        assert pipe.info.max_batch_size == 32
        many, singles = pipe(texts), np.concatenate([pipe(text) for text in texts[::9]])
    np.testing.assert_allclose(many[::9], singles, atol=2e-6)


def test_at_int8_an_answer_does_not_depend_on_its_neighbours(int8: Served) -> None:
    texts = [text for text in TEXTS if text.strip()]
    with Client(int8.grpc) as client:
        for name in ("sentiment", "embeddings"):
            pipe = client.pipeline(name)
            options: dict[str, Any] = {"top_k": None} if name == "sentiment" else {}
            together, alone = pipe(texts, **options), [pipe(text, **options) for text in texts]
            if name == "sentiment":
                scores = [[sorted((e["label"], e["score"]) for e in row) for row in rows] for rows in (together, alone)]
                flat = [[score for row in rows for _, score in row] for rows in scores]
                np.testing.assert_allclose(flat[0], flat[1], atol=2e-3)
            else:
                assert np.sum(together * np.concatenate(alone), axis=1).min() > 0.9999
