"""What nobody should send: a clear error for the sender, the right answer for everybody else, and the server stays up."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from served import Served
from tritonclient.utils import InferenceServerException
from tritonsmith import Client, InvalidInputError, ModelNotFoundError, ServerError

GOOD = "A delight from start to finish."


@pytest.fixture(autouse=True)
def _still_answers_afterwards(fp32: Served) -> Any:
    yield
    with Client(fp32.grpc) as client:
        assert client.pipeline("sentiment")(GOOD)[0]["label"] == "POSITIVE"


REFUSED = [
    pytest.param([], None, "no text was given", id="empty list"),
    pytest.param("", 0, "the text is empty", id="empty string"),
    pytest.param(["fine", " \n\t"], 1, "the text is empty", id="white space"),
    pytest.param("x" * 1_000_000, 0, "1000000 bytes of text; at most 65536", id="a megabyte"),
    pytest.param(["fine"] * 35 + [""], 35, "the text is empty", id="in the second part of a split list"),
    pytest.param(["fine", 3], 1, "a text is needed, not int", id="number"),
    pytest.param("\ud800", 0, "half of a surrogate pair", id="lone surrogate"),
]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(("texts", "item", "reason"), REFUSED)
def test_the_client_says_which_item_and_why(fp32: Served, protocol: str, texts: Any, item: int | None, reason: str) -> None:
    with Client(getattr(fp32, protocol)) as client, pytest.raises(InvalidInputError, match=reason) as caught:
        client.pipeline("sentiment")(texts)
    assert caught.value.item == item


ODD = [
    "🎬🍿👏",
    "这部电影太棒了",
    "סרט נפלא",
    "a\x00b\x00",
    "\u202eright to left\u202c",
    "e\u0301\u0301\u0301",
    "\U0010ffff",
    "word " * 3000,
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_text_is_answered(fp32: Served, text: str) -> None:
    with Client(fp32.grpc) as client:
        (answer,) = client.pipeline("sentiment")(text)
    assert answer["label"] in ("NEGATIVE", "POSITIVE")


def raw(served: Served, values: list[bytes], *, name: str = "TEXT", shape: tuple[int, ...] | None = None) -> Any:
    """Below our client, which would not let this pass."""
    array = np.array(values, dtype=np.object_).reshape(shape or (-1, 1))
    tensor = triton.InferInput(name, list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    with triton.InferenceServerClient(served.grpc.removeprefix("grpc://")) as client:
        return client.infer("sentiment", [tensor]).as_numpy("LABEL")


RAW = [
    pytest.param({"values": [b"fine", b"caf\xe9 au lait"]}, "item 1: not UTF-8 at byte 3", id="not UTF-8"),
    pytest.param({"values": [b"fine"], "name": "TXT"}, "unexpected inference input 'TXT'", id="wrong name"),
    pytest.param({"values": [b"a", b"b"], "shape": (1, 2)}, "unexpected shape for input 'TEXT'", id="wrong shape"),
    pytest.param({"values": [b"a"] * 33}, "batch-size must be <= 32", id="batch over the limit"),
]


@pytest.mark.parametrize(("sent", "message"), RAW)
def test_a_raw_request_gets_a_message_and_the_code_of_a_callers_mistake(fp32: Served, sent: Any, message: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        raw(fp32, **sent)
    assert message in caught.value.message()
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def tensor(**changes: object) -> str:
    return json.dumps({"inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["fine"], **changes}]})


# Triton's own parser answers what is no request at all with 500; the message is what helps.
BODIES = [
    pytest.param(tensor(datatype="INT32", data=[1]), 400, "expects 'BYTES'", id="wrong dtype"),
    pytest.param(tensor(shape=[2, 1]), 400, "expected 2 string elements", id="too few elements"),
    pytest.param(tensor(data=[""]), 400, "item 0: the text is empty", id="empty text"),
    pytest.param(tensor(data=[5]), 500, "non-string", id="a number where text belongs"),
    pytest.param('{"inputs": [', 500, "failed to parse", id="malformed"),
    pytest.param("{}", 500, "inputs", id="no inputs"),
]


@pytest.mark.parametrize(("body", "status", "message"), BODIES)
def test_a_json_body_gets_a_status_and_a_message(fp32: Served, body: str, status: int, message: str) -> None:
    connection = http.client.HTTPConnection(fp32.http.removeprefix("http://"))
    connection.request("POST", "/v2/models/sentiment/infer", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    said = json.loads(reply.read())["error"]
    connection.close()
    assert (reply.status, message in said) == (status, True), said


def test_one_bad_request_among_many_fails_alone(fp32: Served) -> None:
    with Client(fp32.grpc) as client:
        pipe = client.pipeline("sentiment")
        wanted = [pipe(f"{GOOD} {index}")[0]["score"] for index in range(32)]

        def ask(index: int) -> Any:
            if index % 4 == 3:
                with pytest.raises(InvalidInputError, match="the text is empty"):
                    pipe(["fine", ""])
                return None
            return pipe(f"{GOOD} {index}")[0]["score"]

        with ThreadPoolExecutor(32) as pool:
            for _ in range(4):
                answers = list(pool.map(ask, range(32)))
                for index, score in enumerate(answers):
                    assert score is None or score == pytest.approx(wanted[index], abs=2e-6)


def test_an_unknown_model_is_not_found(fp32: Served) -> None:
    for url in (fp32.grpc, fp32.http):
        with Client(url) as client, pytest.raises(ModelNotFoundError, match="nope"):
            client.pipeline("nope")


def test_a_step_is_no_pipeline(fp32: Served) -> None:
    with Client(fp32.grpc) as client, pytest.raises(ServerError, match="names no task"):
        client.pipeline("sentiment_engine")
