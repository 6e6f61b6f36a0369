"""What can be seen of inputs and answers as they go through a step: numbers alone, never a text or an answer itself.

The same is seen of every caller's requests, so that a change of what is asked, or of what is answered, shows on the metrics
page.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.meters import Sums

Watch = Callable[[Arrays, Arrays, Sums], None]
"""Looks at what a step was given and what it made of it, for one request that it answered."""
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


def outcomes(results: Sequence[Result], sums: Sums) -> None:
    """Count what became of each request."""
    refused = sum(isinstance(result, ValueError) for result in results)
    sums("requests", refused, "refused")
    sums("requests", len(results) - refused, "answered")


def watched(step: str, requests: Sequence[Arrays], results: Sequence[Result], sums: Sums) -> None:
    """Count what ``WATCHES`` has for a step, of every request that was answered."""
    for watch in WATCHES.get(step, ()):
        for request, result in zip(requests, results, strict=True):
            if not isinstance(result, ValueError):
                watch(request, result, sums)


def _lengths(_: Arrays, made: Arrays, sums: Sums) -> None:
    if "attention_mask" in made:
        sums.values("length", made["attention_mask"].sum(axis=1))


def _scripts(given: Arrays, _: Arrays, sums: Sums) -> None:
    letters: Counter[str] = Counter()
    for text in _texts(given):
        letters.update(text[:_START])
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        if letter.isalpha():
            scripts[script(letter)] += count
    for name, count in scripts.items():
        sums("script", count, name)


def _texts(given: Arrays) -> Iterator[str]:
    if "TEXT" in given:
        for text in given["TEXT"].ravel():
            yield text[: 4 * _START].decode("utf-8", "ignore")


@lru_cache(maxsize=4096)
def script(letter: str) -> str:
    """The script of a letter, in lower case, as its name in Unicode begins; ``other`` for those outside of ``SCRIPTS``.

    >>> script("ж")
    'cyrillic'
    """
    name = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return name.lower() if name in SCRIPTS else OTHER


def _classes(_: Arrays, made: Arrays, sums: Sums) -> None:
    """Of labels by falling score; probabilities only where the scores are some."""
    labels, scores = made["LABEL"], made["SCORE"]
    if labels.shape[1] <= MANY:
        for label, count in Counter(labels[:, 0]).items():
            sums("label", count, label.decode("utf-8", "replace"))
    if scores.shape[1] < 2 or not scores.size or scores.min() < 0 or scores.max() > 1:
        return
    sums.values("confidence", scores[:, 0])
    if np.abs(scores.sum(axis=1) - 1).max() < _NEAR:  # of labels of which one is true
        # Shannon's entropy; 0 log 0 is 0.
        entropy = -(scores * np.log(np.where(scores > 0, scores, 1))).sum(axis=1)
        sums.values("uncertainty", entropy / np.log(scores.shape[1]))


def _norms(_: Arrays, made: Arrays, sums: Sums) -> None:
    sums.values("norm", np.linalg.norm(made["EMBEDDING"], axis=1))


WATCHES: Mapping[str, Sequence[Watch]] = {
    "tokenize": (_lengths, _scripts),
    "classify": (_classes,),
    "embed": (_norms,),
}
"""By step."""
