"""What can be seen of inputs and answers as they go through a step: numbers alone, never a text or an answer itself.

The same is seen of every caller's requests, so that a change of what is asked, or of what is answered, shows on the metrics
page.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.meters import Sums


@dataclass(frozen=True)
class Passed:
    """What a step was given and what it made of it, for all requests of a batch that it answered."""

    given: Sequence[Arrays]
    made: Sequence[Arrays]
    unknown: int | None = None
    """The token for what the vocabulary has not."""


Watch = Callable[[Passed, Sums], None]
MANY = 64
"""Labels that each get a counter; those of a model with more are not told apart."""
_START = 200
"""Characters of a text, whose scripts are counted: enough to tell what language it may be."""
_NEAR = 1e-3
SCRIPTS = frozenset(
    (
        *("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "ARABIC", "HEBREW"),
        *("DEVANAGARI", "BENGALI", "TAMIL", "THAI", "CJK", "HIRAGANA", "KATAKANA", "HANGUL"),
    )
)
OTHER = "other"
OUTCOMES = ("answered", "refused", "failed")


def outcomes(results: Sequence[Result], sums: Sums) -> None:
    """Count what became of each request."""
    refused = sum(isinstance(result, ValueError) for result in results)
    sums("requests", refused, "refused")
    sums("requests", len(results) - refused, "answered")


def watched(
    step: str, requests: Sequence[Arrays], results: Sequence[Result], sums: Sums, *, unknown: int | None = None
) -> None:
    """Count what ``WATCHES`` has for a step, of every request that was answered."""
    both = zip(requests, results, strict=True)
    answered = [(request, result) for request, result in both if not isinstance(result, ValueError)]
    if answered:
        passed = Passed([request for request, _ in answered], [result for _, result in answered], unknown)
        for watch in WATCHES.get(step, ()):
            watch(passed, sums)


def _tokens(passed: Passed, sums: Sums) -> None:
    """Lengths and, where the vocabulary has not all there is, unknown tokens."""
    if "attention_mask" not in passed.made[0]:
        return
    lengths = np.concatenate([made["attention_mask"].sum(axis=1) for made in passed.made])
    sums.values("length", lengths)
    if passed.unknown is not None:
        unknown = np.concatenate([_unknown(made, passed.unknown) for made in passed.made])
        sums("unknown_tokens", int(unknown.sum()))
        sums.values("unknown", unknown / lengths)


def _unknown(made: Arrays, token: int) -> Any:
    return ((made["input_ids"] == token) & (made["attention_mask"] == 1)).sum(axis=1)


def _scripts(passed: Passed, sums: Sums) -> None:
    scripts: Counter[str] = Counter()
    for letter, count in Counter("".join(_starts(passed.given))).items():
        if letter.isalpha():
            scripts[script(letter)] += count
    for name, count in scripts.items():
        sums("script", count, name)


def _starts(given: Sequence[Arrays]) -> Iterator[str]:
    for arrays in given:
        if "TEXT" in arrays:
            for text in arrays["TEXT"].ravel():
                yield text[: 4 * _START].decode("utf-8", "ignore")[:_START]


@lru_cache(maxsize=4096)
def script(letter: str) -> str:
    """The script of a letter, in lower case, as its name in Unicode begins; ``other`` for those outside of ``SCRIPTS``.

    >>> script("ж")
    'cyrillic'
    """
    name = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return name.lower() if name in SCRIPTS else OTHER


def _classes(passed: Passed, sums: Sums) -> None:
    """Of labels by falling score; probabilities only where the scores are some."""
    labels = np.concatenate([arrays["LABEL"] for arrays in passed.made])
    if labels.shape[1] <= MANY:
        for label, count in Counter(labels[:, 0]).items():
            sums("label", count, label.decode("utf-8", "replace"))
    scores = np.concatenate([arrays["SCORE"] for arrays in passed.made])
    if scores.shape[1] < 2:
        return
    scores = scores[(scores.min(axis=1) >= 0) & (scores.max(axis=1) <= 1)]
    if not scores.size:
        return
    sums.values("confidence", scores[:, 0])
    whole = scores[np.abs(scores.sum(axis=1) - 1) < _NEAR]  # of labels of which one is true
    if not whole.size:
        return
    # Shannon's entropy; 0 log 0 is 0.
    entropy = -(whole * np.log(np.where(whole > 0, whole, 1))).sum(axis=1)
    sums.values("uncertainty", entropy / np.log(whole.shape[1]))


def _vectors(passed: Passed, sums: Sums) -> None:
    vectors = np.concatenate([arrays["EMBEDDING"] for arrays in passed.made])
    sums.values("norm", np.linalg.norm(vectors, axis=1))
    sums.vectors(vectors)


WATCHES: Mapping[str, Sequence[Watch]] = {
    "tokenize": (_tokens, _scripts),
    "classify": (_classes,),
    "embed": (_vectors,),
}
"""By step."""
