"""Logits of moments to text and times, as transformers' own tokenizer reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sounds import TOKENS, save_tokens
from transformers import AutoTokenizer
from tritonsmith_steps.transcribe import Transcribe, TranscribeSettings

SETTINGS = TranscribeSettings(TOKENS, blank="<pad>", frame=320, rate=16_000)
numbers = st.lists(st.sampled_from([0, 0, 4, 4, *range(1, len(TOKENS))]), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokens")
    save_tokens(folder)
    return AutoTokenizer.from_pretrained(folder)


def logits(*rows: list[int], spare: int = 0) -> dict[str, Any]:
    """A request whose likeliest tokens are these; ``spare`` frames of padding."""
    longest = max(map(len, rows)) + spare
    made = np.zeros((len(rows), longest, len(TOKENS)), np.float32)
    for row, tokens in enumerate(rows):
        made[row, np.arange(len(tokens)), tokens] = 1.0
    return {"frame_logits": made}


def asked(request: dict[str, Any], *units: str) -> dict[str, Any]:
    return {**request, "RETURN_TIMESTAMPS": np.array([[unit.encode()] for unit in units], dtype=np.object_)}


def answer(step: Transcribe, request: dict[str, Any]) -> list[tuple[str, Any]]:
    (result,) = step([request])
    assert isinstance(result, dict)
    return [
        (text.decode(), json.loads(chunks))
        for text, chunks in zip(result["TRANSCRIPT"][:, 0], result["CHUNKS"][:, 0], strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(numbers, st.integers(0, 5))
def test_text_and_times_are_the_tokenizers(tokenizer: Any, tokens: list[int], spare: int) -> None:
    said = tokenizer.decode(tokens, output_char_offsets=True, output_word_offsets=True)
    for unit, offsets in (("char", said.char_offsets), ("word", said.word_offsets)):
        ((text, chunks),) = answer(Transcribe(SETTINGS), asked(logits(tokens, spare=spare), unit))
        assert text == said.text
        expected = [(one[unit], one["start_offset"] * 0.02, one["end_offset"] * 0.02) for one in offsets]
        assert [one["text"] for one in chunks] == [text for text, _, _ in expected]
        assert [time for one in chunks for time in one["timestamp"]] == pytest.approx(
            [time for _, *times in expected for time in times]
        )


def test_letters_become_small_where_the_tokenizer_makes_them_so() -> None:
    small = Transcribe(TranscribeSettings(TOKENS, blank="<pad>", frame=320, rate=16_000, lower_case=True))
    assert answer(small, logits([5, 6, 10])) == [("abé", [])]


def test_rows_of_a_request_are_asked_each_its_own_unit() -> None:
    first, second = answer(Transcribe(SETTINGS), asked(logits([5, 5, 0, 5], [6]), "char", "word"))
    assert [one["text"] for one in first[1]] == ["A", "A"]
    assert second == ("B", [{"text": "B", "timestamp": [0.0, 0.02]}])


def test_nothing_said_is_an_empty_text() -> None:
    assert answer(Transcribe(SETTINGS), logits([0, 0], spare=3)) == [("", [])]


def test_an_unknown_unit_is_its_own_requests_error() -> None:
    bad, good = Transcribe(SETTINGS)([asked(logits([5]), "syllable"), logits([5])])
    assert str(bad) == "return_timestamps 'syllable' is unknown; use one of char, word"
    assert isinstance(good, dict)


def test_settings_come_from_the_version_folder(tmp_path: Path) -> None:
    said = {"tokens": list(TOKENS), "blank": "<pad>", "frame": 320, "rate": 16_000}
    (tmp_path / "step.json").write_text(json.dumps(said))
    assert answer(Transcribe.load(tmp_path, {}, lambda name, amount: None), logits([5, 4, 6])) == [("A B", [])]
