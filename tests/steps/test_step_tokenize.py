"""Against the tokenizer of ``transformers``, with a real model's files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tally import Tally
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram, WordLevel
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.meters import Sums
from tritonsmith_steps.tokenize import Padding, Tokenize, TokenizeSettings, unknown_token
from tritonsmith_steps.watching import watched
from wild_text import wild_text

NAMES = ["input_ids", "attention_mask", "token_type_ids"]
SETTINGS: dict[str, Any] = {
    "inputs": NAMES,
    "max_length": 64,
    "buckets": [16, 32, 64],
    "max_bytes": 4096,
    "pad": {"input_ids": 0, "token_type_ids": 0},
    "truncation_side": "right",
}
Make = Callable[..., Tokenize]
Expect = Callable[..., dict[str, list[list[int]]]]


@pytest.fixture(scope="module")
def make(minilm: Path) -> Make:
    def make(padding: Padding = "longest", *, count: Tally | None = None, **changes: Any) -> Tokenize:
        tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
        counted = count if count is not None else Tally()
        if "max_length" in changes:
            changes = {"buckets": [changes["max_length"]], **changes}
        return Tokenize(tokenizer, TokenizeSettings(**SETTINGS | changes), padding=padding, count=counted)

    return make


@pytest.fixture(scope="module")
def step(make: Make) -> Tokenize:
    return make()


@pytest.fixture(scope="module")
def reference(minilm: Path) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(minilm)
    return tokenizer


@pytest.fixture(scope="module")
def expect(reference: PreTrainedTokenizerBase) -> Expect:
    def expect(texts: list[str], *, padding: str = "longest", max_length: int = 64, side: str = "right") -> Any:
        reference.truncation_side = side
        return dict(reference(texts, padding=padding, truncation=True, max_length=max_length))

    return expect


def request(*rows: str | bytes) -> Arrays:
    encoded = [row.encode() if isinstance(row, str) else row for row in rows]
    return {"TEXT": np.array(encoded, dtype=np.object_).reshape(-1, 1)}


def lists(result: Result) -> dict[str, list[list[int]]]:
    assert isinstance(result, dict), result
    assert {array.dtype for array in result.values()} == {np.dtype(np.int32)}
    return {name: array.tolist() for name, array in result.items()}


def words(count: int) -> str:
    """A text of ``count`` tokens; [CLS] and [SEP] are two of them."""
    return "good " * (count - 2)


@settings(deadline=None, max_examples=150)
@given(many=st.lists(st.lists(wild_text, min_size=1, max_size=4), min_size=1, max_size=4))
def test_wild_texts_become_what_transformers_makes_of_each_request(
    step: Tokenize, expect: Expect, many: list[list[str]]
) -> None:
    assert [lists(result) for result in step([request(*texts) for texts in many])] == [expect(texts) for texts in many]


def pair(*rows: tuple[str | bytes, str | bytes]) -> Arrays:
    firsts, seconds = zip(*rows, strict=True)
    return {"TEXT": request(*firsts)["TEXT"], "TEXT_PAIR": request(*seconds)["TEXT"]}


@settings(deadline=None, max_examples=100)
@given(many=st.lists(st.lists(st.tuples(wild_text, wild_text), min_size=1, max_size=3), min_size=1, max_size=3))
def test_pairs_beside_texts_become_what_transformers_makes_of_them(
    step: Tokenize, reference: PreTrainedTokenizerBase, expect: Expect, many: list[list[tuple[str, str]]]
) -> None:
    made = [lists(result) for result in step([*(pair(*pairs) for pairs in many), request("a text alone")])]
    reference.truncation_side = "right"
    wanted = [
        dict(reference(*map(list, zip(*pairs, strict=True)), padding=True, truncation=True, max_length=64)) for pairs in many
    ]
    assert made == [*wanted, expect(["a text alone"])]


def test_long_pairs_are_cut_as_transformers_cuts_them(make: Make, reference: PreTrainedTokenizerBase) -> None:
    pairs = [(words(90), "short"), ("short", words(90)), (words(50), "bad " * 60)]
    count = Tally()
    (result,) = make(count=count)([pair(*pairs)])
    reference.truncation_side = "right"
    assert lists(result) == dict(reference(*map(list, zip(*pairs, strict=True)), truncation=True, max_length=64))
    assert count["truncated"] == 3


def test_a_bad_second_text_is_its_own_requests_error(step: Tokenize) -> None:
    empty, uneven, good = step(
        [pair(("a", "b"), ("a", " ")), {**request("a", "b"), "TEXT_PAIR": request("c")["TEXT"]}, pair(("a", "b"))]
    )
    assert str(empty) == "item 1: the second text is empty; leave it out"
    assert str(uneven) == "2 texts and 1 second texts; give as many of both"
    assert lists(good)["token_type_ids"] == [[0, 0, 0, 1, 1]]


def test_a_batch_gives_what_single_calls_give(make: Make) -> None:
    step = make("bucket")
    requests = [request("one", words(20)), request("two"), request(words(90)), request("three 🙂", "four")]
    assert [lists(result) for result in step(requests)] == [lists(step([alone])[0]) for alone in requests]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("max_length", [8, 64, 200])
def test_long_texts_are_cut_where_transformers_cuts_them(make: Make, expect: Expect, side: str, max_length: int) -> None:
    texts = ["the beginning " + "middle " * 300 + "the end", "short"]
    (result,) = make(max_length=max_length, truncation_side=side)([request(*texts)])
    assert lists(result) == expect(texts, max_length=max_length, side=side)
    assert len(lists(result)["input_ids"][0]) == max_length


def test_the_padding_and_truncation_that_tokenizer_json_carries_do_not_count(minilm: Path, make: Make) -> None:
    carried = json.loads((minilm / "tokenizer.json").read_text())
    assert (carried["padding"]["strategy"], carried["truncation"]["max_length"]) == ({"Fixed": 128}, 128)
    short, long = make(max_length=256)([request(words(5)), request(words(180))])
    assert len(lists(short)["input_ids"][0]) == 5
    assert len(lists(long)["input_ids"][0]) == 180


@pytest.mark.parametrize(("tokens", "bucket"), [(3, 16), (16, 16), (17, 32), (32, 32), (33, 64), (64, 64), (65, 64)], ids=str)
def test_each_request_is_padded_to_the_next_bucket_of_its_own(make: Make, expect: Expect, tokens: int, bucket: int) -> None:
    first, result = make("bucket")([request("first"), request("x", words(tokens))])
    assert lists(result) == expect(["x", words(tokens)], padding="max_length", max_length=bucket)
    assert len(lists(first)["input_ids"][0]) == 16


@pytest.mark.parametrize(("padding", "length"), [("longest", 4), ("bucket", 16)])
def test_padding_values_come_from_the_settings(make: Make, padding: Padding, length: int) -> None:
    (result,) = make(padding, pad={"input_ids": 5, "token_type_ids": 3})([request("good", "good good")])
    made = lists(result)
    assert made["input_ids"][0][3:] == [5] * (length - 3)
    assert made["token_type_ids"][0] == [0] * 3 + [3] * (length - 3)
    assert made["attention_mask"] == [[1] * 3 + [0] * (length - 3), [1] * 4 + [0] * (length - 4)]


def test_only_the_engines_inputs_are_made_in_their_order(make: Make) -> None:
    (result,) = make(inputs=["attention_mask", "input_ids"])([request("good")])
    assert list(lists(result)) == ["attention_mask", "input_ids"]


BAD = {
    "empty": (b"", "the text is empty; leave it out"),
    "white space": ("\u00a0 \n\t\u3000".encode(), "the text is empty; leave it out"),
    "not UTF-8": (b"caf\xe9", "not UTF-8 at byte 3; encode the text as UTF-8"),
    "a character cut in two": ("ab€".encode()[:-1], "not UTF-8 at byte 2; encode the text as UTF-8"),
    "a surrogate": ("ab\ud800".encode("utf-8", "surrogatepass"), "not UTF-8 at byte 2; encode the text as UTF-8"),
    "too many bytes": ("é".encode() * 21, "42 bytes of text; at most 40 are taken, shorten or split it"),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_text_is_the_error_of_its_own_request_alone(make: Make, expect: Expect, bad: bytes, message: str) -> None:
    requests = [request("first", "of two"), request("fine", "fine too", bad, b""), request("last")]
    first, error, last = make(max_bytes=40)(requests)
    assert lists(first) == expect(["first", "of two"])
    assert isinstance(error, ValueError)
    assert str(error) == f"item 2: {message}"
    assert lists(last) == expect(["last"])


def test_bad_texts_alone_leave_nothing_to_tokenize(make: Make) -> None:
    tally = Tally()
    results = make(count=tally)([request(b""), request("fine", b"\xff")])
    assert [str(result) for result in results] == [
        "item 0: the text is empty; leave it out",
        "item 1: not UTF-8 at byte 0; encode the text as UTF-8",
    ]
    assert all(isinstance(result, ValueError) for result in results)
    assert tally.total() == 0


def test_a_text_of_the_greatest_size_is_taken(make: Make, expect: Expect) -> None:
    (result,) = make(max_bytes=40)([request("é" * 20)])
    assert lists(result) == expect(["é" * 20])


def test_characters_the_tokenizer_drops_are_no_error(make: Make, expect: Expect) -> None:
    (result,) = make()([request("\x00\x07\u200b")])
    assert lists(result) == expect(["\x00\x07\u200b"])


@pytest.mark.parametrize("padding", ["longest", "bucket"])
def test_tokens_padding_and_cut_texts_are_counted(make: Make, reference: PreTrainedTokenizerBase, padding: Padding) -> None:
    many = [["short", words(20)], [words(64)], ["bad", ""], [words(65), "x " * 500, "tail"]]
    tally = Tally()
    results = make(padding, count=tally)([request(*texts) for texts in many])
    good = [texts for texts in many if "" not in texts]
    lengths = [len(ids) for texts in good for ids in reference(texts, truncation=False)["input_ids"]]
    shown = sum(len(row) for result in results if isinstance(result, dict) for row in result["input_ids"])
    tokens = sum(min(length, 64) for length in lengths)
    assert tally == {"tokens": tokens, "padding": shown - tokens, "truncated": 2}
    assert sum(length > 64 for length in lengths) == 2


def test_what_the_vocabulary_has_not_is_seen_and_padding_is_not(make: Make) -> None:
    step, sums = make("bucket"), Sums()
    asked = [request("good ꙮ 𐎀 film"), request("ꙮ")]
    watched("tokenize", asked, step(asked), sums, unknown=step.unknown)
    counted = sums.handed_over()
    assert counted["unknown_tokens", ""] == 3
    # Of six tokens two, of three one.
    assert [counted["unknown", le] for le in ("0", "0.2", "0.5", "+Inf")] == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("model", "token"),
    [
        (WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"), 0),
        (Unigram([("a", -1.0), ("<unk>", -2.0)], unk_id=1), 1),
        (BPE({"a": 0}, []), None),  # of bytes: it has all there is
    ],
)
def test_a_tokenizers_unknown_token_is_found_where_it_has_one(model: Any, token: int | None) -> None:
    assert unknown_token(Tokenizer(model)) == token


def test_each_text_says_whether_it_was_cut(make: Make, reference: PreTrainedTokenizerBase) -> None:
    texts = ["short", words(64), words(60), words(65), "x " * 500]
    (result,) = make(beside=["TRUNCATED"])([request(*texts)])
    assert isinstance(result, dict)
    assert result["TRUNCATED"].dtype == np.bool_
    assert result["TRUNCATED"].tolist() == [[len(reference(text, truncation=False)["input_ids"]) > 64] for text in texts]


def test_an_item_of_several_rows_says_whether_one_was_cut(make: Make) -> None:
    asked = {
        "QUERY": np.array([[b"what"], [b"why"]], dtype=np.object_),
        "DOCUMENTS": np.array([[b"short", words(90).encode()], [b"short", b"too"]], dtype=np.object_),
    }
    (result,) = make(beside=["ITEM"], reads="rank.documents")([asked])
    assert isinstance(result, dict)
    assert [json.loads(said)["truncated"] for (said,) in result["ITEM"] if said] == [True, False]


@pytest.mark.parametrize(("parameters", "length"), [({"padding": "longest"}, 3), ({}, 16)], ids=["ragged", "buckets"])
def test_a_version_folder_holds_all_a_step_needs(tmp_path: Path, minilm: Path, parameters: dict[str, str], length: int) -> None:
    shutil.copy(minilm / "tokenizer.json", tmp_path)
    (tmp_path / "step.json").write_text(json.dumps(SETTINGS))
    (result,) = Tokenize.load(tmp_path, parameters, Tally())([request("good")])
    assert np.shape(lists(result)["input_ids"]) == (1, length)
