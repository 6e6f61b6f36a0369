from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tritonsmith_steps.fill import Fill, FillSettings

VOCABULARY = ["[PAD]", "[UNK]", "[MASK]", "the", "film", "plot", "good", "bad", "bright", "##er"]
MASK = VOCABULARY.index("[MASK]")
SETTINGS = FillSettings(mask_id=MASK, mask_token="[MASK]", masks=2, pad_id=0)


@pytest.fixture(scope="module")
def fill() -> Fill:
    tokenizer = Tokenizer(WordPiece({word: at for at, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return Fill(tokenizer, SETTINGS)


def asked(fill: Fill, *targets: str, top_k: int | None = None, masks: int = 1) -> Any:
    """The tokens for ``the film [MASK]``, of which later ones of the vocabulary are likelier."""
    ids = [VOCABULARY.index(word) for word in ("the", "film")] + [MASK] * masks
    logits = np.tile(np.arange(len(VOCABULARY), dtype=np.float32), 2)[None]
    request: dict[str, Any] = {"mask_logits": logits, "input_ids": np.array([ids], np.int32)}
    if targets:
        request["TARGETS"] = np.array([[target.encode() for target in targets]], dtype=np.object_)
    if top_k is not None:
        request["TOP_K"] = np.array([[top_k]], np.int32)
    (result,) = fill([request])
    return result if isinstance(result, ValueError) else json.loads(result["TOKENS"][0, 0])


def words(answer: Any) -> list[str]:
    return [one["token_str"] for one in answer[0]]


def test_the_likeliest_come_first_five_where_nothing_is_said(fill: Fill) -> None:
    assert words(asked(fill)) == ["##er", "bright", "bad", "good", "plot"]
    assert words(asked(fill, top_k=2)) == ["##er", "bright"]
    assert asked(fill)[0][1]["sequence"] == "the film bright"


def test_targets_alone_are_answered_with_their_scores_among_all_tokens(fill: Fill) -> None:
    everything = {one["token_str"]: one["score"] for one in asked(fill, top_k=10)[0]}
    found = asked(fill, "good", "plot", "good")[0]
    assert [(one["token_str"], one["score"]) for one in found] == [(word, everything[word]) for word in ("good", "plot")]
    assert words(asked(fill, "good", "plot", "bad", top_k=1)) == ["bad"]
    assert [row[0]["token_str"] for row in asked(fill, "plot", masks=2)] == ["plot", "plot"]


def test_a_target_that_is_no_token_stands_for_its_first(fill: Fill) -> None:
    assert words(asked(fill, "brighter")) == ["bright"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"targets": [" "]}, "item 0: the target ' ' has no token; leave it out"),
        ({"top_k": 0}, "item 0: top_k is 0; give 1 to 1000"),
        ({"masks": 0}, "item 0: the text has no [MASK], or it was cut off; write one where a word is wanted"),
        ({"masks": 3}, "item 0: 3 times [MASK]; at most 2 are answered, ask for less at once"),
    ],
    ids=["target", "top_k", "no mask", "masks"],
)
def test_what_cannot_be_answered_is_said(fill: Fill, options: dict[str, Any], reason: str) -> None:
    assert str(asked(fill, *options.pop("targets", ()), **options)) == reason
