"""How each task's requests are read, what is refused and with which words, and how items become rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import Tally
from tiny_models import WORDS, save_encoder
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.items import ITEM, Item, item_column, items_in, stacked
from tritonsmith_steps.readers import Asked, Limits, reader_named
from tritonsmith_steps.tokenize import Tokenize, TokenizeSettings
from wild_text import wild_text

LIMITS = Limits(100, {"query": "find: "}, None)


def tensor(rows: Sequence[Any]) -> Any:
    """Texts ``[n, k]``, or numbers and flags, as Triton hands them over."""
    plain = [
        [value.encode() if isinstance(value, str) else value for value in (row if isinstance(row, list) else [row])]
        for row in rows
    ]
    return np.array(plain, dtype=np.object_ if isinstance(plain[0][0], bytes) else None)


def read(reader: str, **tensors: Sequence[Any]) -> list[Item]:
    return reader_named(reader)(Asked({name: tensor(rows) for name, rows in tensors.items()}, LIMITS))


def test_each_label_makes_a_pair_with_the_text() -> None:
    made = read(
        "zeroshot.hypotheses", TEXT=["rain", "law"], CANDIDATE_LABELS=[["a", "b"], ["a", "b"]], MULTI_LABEL=[True, False]
    )
    assert made[0].texts == [("rain", "This example is a."), ("rain", "This example is b.")]
    assert [item.about for item in made] == [{"labels": ["a", "b"], "multi_label": several} for several in (True, False)]


def test_what_is_written_beside_the_place_of_a_label_stays() -> None:
    made = read("zeroshot.hypotheses", TEXT=["rain"], CANDIDATE_LABELS=[["{a}"]], HYPOTHESIS_TEMPLATE=["{{is}} {}?"])
    assert made[0].texts == [("rain", "{{is}} {}?".format("{a}"))]


def test_a_prompt_goes_before_the_text_that_asks_for_it() -> None:
    assert read("embed.prompted", TEXT=["soup"], PROMPT_NAME=["query"])[0].texts == ["find: soup"]
    assert read("embed.prompted", TEXT=["soup"])[0].texts == ["soup"]
    own = reader_named("embed.prompted")(Asked({"TEXT": tensor(["soup"])}, Limits(100, {"query": "find: "}, "query")))
    assert own[0].texts == ["find: soup"]


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "prompt": (
        "embed.prompted",
        {"TEXT": ["a"], "PROMPT_NAME": ["other"]},
        "item 0: there is no prompt 'other'; the model has query",
    ),
    "template": (
        "zeroshot.hypotheses",
        {"TEXT": ["a", "a"], "CANDIDATE_LABELS": [["b"], ["b"]], "HYPOTHESIS_TEMPLATE": ["{}", "no place"]},
        "item 1: hypothesis_template 'no place' must have one place for a label; write {} there",
    ),
    "template that reaches further": (
        "zeroshot.hypotheses",
        {"TEXT": ["a"], "CANDIDATE_LABELS": [["b"]], "HYPOTHESIS_TEMPLATE": ["{0.__class__}"]},
        "item 0: hypothesis_template '{0.__class__}' must have one place for a label; write {} there",
    ),
    "template of any width": (
        "zeroshot.hypotheses",
        {"TEXT": ["a"], "CANDIDATE_LABELS": [["b"]], "HYPOTHESIS_TEMPLATE": ["{:>999999999}"]},
        "item 0: hypothesis_template '{:>999999999}' must have one place for a label; write {} there",
    ),
    "empty label": (
        "zeroshot.hypotheses",
        {"TEXT": ["a"], "CANDIDATE_LABELS": [["b", " "]]},
        "item 0: the label is empty; leave it out",
    ),
    "long document": (
        "rank.documents",
        {"QUERY": ["a"], "DOCUMENTS": [["b", "x" * 101]]},
        "item 0: 101 bytes of document; at most 100 are taken, shorten or split it",
    ),
    "endless answers": (
        "spans.contexts",
        {"QUESTION": ["a"], "CONTEXT": ["b"], "MAX_ANSWER_LEN": [2**31 - 1]},
        f"item 0: max_answer_len is {2**31 - 1}; give 1 to 512",
    ),
    "long template": (
        "zeroshot.hypotheses",
        {"TEXT": ["a"], "CANDIDATE_LABELS": [["b"]], "HYPOTHESIS_TEMPLATE": ["x" * 101]},
        "item 0: 101 bytes of hypothesis_template; at most 100 are taken, shorten or split it",
    ),
    "top_k": ("spans.contexts", {"QUESTION": ["a"], "CONTEXT": ["b"], "TOP_K": [0]}, "item 0: top_k is 0; give 1 to 1000"),
}


@pytest.mark.parametrize(("reader", "tensors", "said"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused_with_its_item(reader: str, tensors: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        read(reader, **tensors)


@given(st.lists(st.tuples(st.dictionaries(wild_text, wild_text, max_size=2), st.integers(1, 4)), min_size=1, max_size=6))
def test_items_find_their_rows_again(made: list[tuple[dict[str, str], int]]) -> None:
    items, counts = [Item([], about) for about, _ in made], [count for _, count in made]
    rows = np.arange(sum(counts))
    found = items_in({ITEM: item_column(items, counts), "row": rows})
    assert [about for about, _ in found] == [about for about, _ in made]
    assert [len(one["row"]) for _, one in found] == counts
    assert np.concatenate([one["row"] for _, one in found]).tolist() == rows.tolist()


def test_items_with_other_numbers_of_answers_do_not_share_a_request() -> None:
    assert isinstance(stacked([{"SCORE": np.zeros(2)}, {"SCORE": np.zeros(3)}]), ValueError)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tokenize]:
    tokenizer = AutoTokenizer.from_pretrained(save_encoder(tmp_path_factory.mktemp("tokens") / "model")).backend_tokenizer

    def make(**options: Any) -> Tokenize:
        most = options.pop("most", None)
        settings: dict[str, Any] = {"inputs": ["input_ids"], "max_length": 16, "buckets": [16], "max_bytes": 10_000}
        settings |= {"pad": {"input_ids": 0, "token_type_ids": 0}, "truncation_side": "right", "beside": [ITEM], **options}
        own = Tokenizer.from_str(tokenizer.to_str())
        return Tokenize(own, TokenizeSettings(**settings), padding="longest", count=Tally(), most=most)

    return make


def question(question: str, context: str) -> Arrays:
    return {"QUESTION": tensor([question]), "CONTEXT": tensor([context])}


LONG = " ".join(WORDS)


def test_a_long_context_becomes_windows_with_its_question_in_each(make: Callable[..., Tokenize]) -> None:
    step = make(reads="spans.contexts", cut="only_second", stride=4, beside=[ITEM, "OFFSETS", "SEQUENCE"])
    short, long = step([question("the film", "was good"), question("the film", LONG)])
    assert isinstance(short, dict)
    assert isinstance(long, dict)
    assert len(short["input_ids"]) == 1
    assert len(long["input_ids"]) > 3
    seen = set()
    for sequence, offsets in zip(long["SEQUENCE"], long["OFFSETS"], strict=True):
        assert (sequence == 0).sum() == 2
        seen |= {tuple(pair) for pair in offsets[sequence == 1].tolist()}
    assert {LONG[a:b] for a, b in seen} >= set(WORDS) - {LONG}
    assert json.loads(long[ITEM][0, 0])["context"] == LONG
    assert not long[ITEM][1:].any()


def test_a_question_that_leaves_no_room_is_its_own_requests_error(make: Callable[..., Tokenize]) -> None:
    step = make(reads="spans.contexts", cut="only_second", stride=4)
    good, near, far = step([question("film", LONG), question("film " * 9, LONG), question("film " * 90, LONG)])
    assert isinstance(good, dict)
    for bad in (near, far):
        assert str(bad) == "item 0: the first text takes more than 8 tokens and leaves the second no room; shorten it"


def test_a_label_that_leaves_no_room_is_its_own_requests_error(make: Callable[..., Tokenize]) -> None:
    def asked(label: str) -> Arrays:
        return {"TEXT": tensor([LONG]), "CANDIDATE_LABELS": tensor([[label, "film"]])}

    good, bad = make(reads="zeroshot.hypotheses", cut="only_first")([asked("plot"), asked("plot " * 30)])
    assert isinstance(good, dict)
    assert len(good["input_ids"]) == 2
    assert str(bad) == "the second text of a pair leaves the one beside it no room in 16 tokens; shorten it"


def test_a_request_of_too_many_rows_is_refused_alone(make: Callable[..., Tokenize]) -> None:
    def asked(count: int) -> Arrays:
        return {"QUERY": tensor(["film"]), "DOCUMENTS": tensor([["good"] * count])}

    good, bad = make(reads="rank.documents", most=3)([asked(3), asked(4)])
    assert isinstance(good, dict)
    assert str(bad) == "the request makes 4 rows for the engine; at most 3 are taken, ask for less at once"


def test_a_reader_that_there_is_not_is_named(make: Callable[..., Tokenize]) -> None:
    for name in ("rank.nothing", "nothing.texts", "texts"):
        with pytest.raises(ValueError, match=f"^there is no reader '{name}'; use one such as readers.texts$"):
            make(reads=name)
