"""Where an answer may begin and end to the answers to a question, over all windows of its context."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tritonsmith_steps.arrays import Arrays, Count, Result
from tritonsmith_steps.classify import Floats, softmax
from tritonsmith_steps.items import Item, items_in
from tritonsmith_steps.readers import MOST_ANSWERS, Asked

Answer = dict[str, Any]
_LONGEST = 512
"""Tokens of an answer."""
_CONTEXT = 1
"""The second text of a pair."""


def contexts(asked: Asked) -> list[Item]:
    """``QUESTION`` with its ``CONTEXT``, and how many answers of what sort are wanted."""
    options: dict[str, list[Any]] = {
        "top_k": asked.number("TOP_K", 1, MOST_ANSWERS),
        "max_answer_len": asked.number("MAX_ANSWER_LEN", 15, _LONGEST),
        "handle_impossible_answer": asked.option("HANDLE_IMPOSSIBLE_ANSWER", False),
    }
    pairs = zip(asked.texts("QUESTION", "question"), asked.texts("CONTEXT", "context"), strict=True)
    return [
        Item([(question, context)], {"context": context, **{name: values[item] for name, values in options.items()}})
        for item, (question, context) in enumerate(pairs)
    ]


class Spans:
    """``span_logits`` FP32 ``[windows, length, 2]`` (begins, ends) to ``ANSWERS``, a JSON list a question, the best first.

    Beside the logits come ``ITEM``, and INT32 ``OFFSETS`` ``[windows, length, 2]``, ``SEQUENCE`` and ``WORD`` (each token's).
    """

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Spans:
        """It needs nothing from its version folder."""
        return cls()

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order."""
        found = [[_answers(about, rows) for about, rows in items_in(request)] for request in requests]
        return [{"ANSWERS": np.array([[_text(answers)] for answers in one], dtype=np.object_)} for one in found]


def _text(answers: Sequence[Answer]) -> bytes:
    return json.dumps(answers, ensure_ascii=False, separators=(",", ":")).encode()


def _answers(about: dict[str, Any], rows: Arrays) -> list[Answer]:
    """The ``top_k`` best answers of all windows; the same words, found in two of them, are one answer with the better score."""
    found: dict[tuple[int, int], float] = {}
    silence = 1.0
    for window in range(len(rows["span_logits"])):
        nothing, spans = _window({name: array[window] for name, array in rows.items()}, about["max_answer_len"])
        silence = min(silence, nothing)
        best: dict[tuple[int, int], float] = {}
        for score, place in spans:
            best.setdefault(place, score)
            if len(best) == about["top_k"]:
                break
        found |= {place: max(score, found.get(place, 0.0)) for place, score in best.items()}
    answers = [
        {"score": score, "start": start, "end": end, "answer": about["context"][start:end]}
        for (start, end), score in found.items()
    ]
    if about["handle_impossible_answer"]:
        answers.append({"score": silence, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda answer: -answer["score"])[: about["top_k"]]


Span = tuple[float, tuple[int, int]]
"""Score, and where in the context it starts and ends."""


def _window(row: Arrays, longest: int) -> tuple[float, Iterator[Span]]:
    """How likely a window says that there is no answer, and its spans of up to ``longest`` tokens, the best first.

    The score of a span is the probability that it begins where it does times that it ends where it does, over the tokens of
    the context and the first token, which stands for no answer (Devlin et al. 2018, section 4.3). Words are not cut.
    """
    places = np.flatnonzero(row["SEQUENCE"] == _CONTEXT)
    begins, ends = softmax(row["span_logits"][[0, *places]].T)
    longest = min(longest, len(places))
    following = sliding_window_view(np.pad(ends[1:], (0, longest - 1)), longest)  # of each token, itself and those after it
    return float(begins[0] * ends[0]), _spans(row["WORD"][places], row["OFFSETS"][places], begins[1:, None] * following)


def _spans(words: NDArray[np.int32], offsets: NDArray[np.int32], scores: Floats) -> Iterator[Span]:
    same = words[:, None] == words
    firsts = offsets[same.argmax(axis=1), 0]
    lasts = offsets[len(words) - 1 - same[:, ::-1].argmax(axis=1), 1]
    for flat in np.argsort(-scores, axis=None, kind="stable").tolist():
        start, more = divmod(flat, scores.shape[1])
        if start + more < len(words):
            yield float(scores[start, more]), (int(firsts[start]), int(lasts[start + more]))


STEP = Spans
