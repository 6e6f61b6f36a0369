"""What the servers are asked: texts of known lengths, made from the committed sentences, the same in every run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate, islice
from math import log
from statistics import median

from tokenizers import Tokenizer

SPECIAL_TOKENS = 2
"""That the model's tokenizer adds to every text; all lengths here are with them."""
MEDIAN, SIGMA, SHORTEST, LONGEST = 20, 0.8, 4, 256
ZIPF_TEXTS, ZIPF_EXPONENT, ZIPF_REQUESTS = 10_000, 1.0, 40_000

Draw = Callable[[random.Random], int]
"""The next text's length in tokens."""


@dataclass(frozen=True)
class Length:
    """How long the texts of a workload are."""

    about: str
    draw: Draw


LENGTHS: Mapping[str, Length] = {
    "short": Length("20 tokens", lambda choose: 20),
    "long": Length("128 tokens", lambda choose: 128),
    "mixed": Length(
        f"log-normal, median {MEDIAN} tokens, sigma {SIGMA}, cut to {SHORTEST}–{LONGEST}",
        lambda choose: min(LONGEST, max(SHORTEST, round(choose.lognormvariate(log(MEDIAN), SIGMA)))),
    ),
}


@dataclass(frozen=True)
class Texts:
    """Distinct texts and the lengths they turned out to have."""

    texts: tuple[str, ...]
    tokens: tuple[int, ...]

    @property
    def about(self) -> dict[str, int | float]:
        """What the page says of them."""
        mean = sum(self.tokens) / len(self.tokens)
        return {"texts": len(self.texts), "tokens_mean": round(mean, 1), "tokens_median": median(self.tokens)}


class TextMaker:
    """Joins and cuts the committed sentences, word by word, to wanted numbers of tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._sentences = [line.split() for line in sentences()]
        words = sorted({word for sentence in self._sentences for word in sentence})
        encodings = tokenizer.encode_batch_fast(words, add_special_tokens=False)
        self._cost = {word: len(encoding.ids) for word, encoding in zip(words, encodings, strict=True)}

    def made(self, draw: Draw, count: int, *, seed: str) -> Texts:
        """``count`` distinct texts whose lengths are drawn one after the other."""
        choose = random.Random(seed)
        texts: dict[str, None] = {}
        while len(texts) < count:
            texts[self._text(choose, draw(choose))] = None
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return Texts(tuple(texts), tuple(len(encoding.ids) for encoding in encodings))

    def _text(self, choose: random.Random, tokens: int) -> str:
        """Words of sentences that follow one another by chance; one too long for what is left is passed over."""
        left, words = tokens - SPECIAL_TOKENS, list[str]()
        for word in self._words(choose):
            if self._cost[word] <= left:
                words.append(word)
                left -= self._cost[word]
            if left <= 0:
                return " ".join(words)
        raise AssertionError("words never end")

    def _words(self, choose: random.Random) -> Iterator[str]:
        while True:
            sentence = choose.choice(self._sentences)
            # from anywhere in it: short texts would else all be beginnings
            yield from sentence[choose.randrange(len(sentence)) :]


@cache
def sentences() -> tuple[str, ...]:
    """The sentences that this project gates and calibrates with."""
    data = files("tritonsmith_build") / "data"
    texts = [(data / name).read_text(encoding="utf-8") for name in ("gate.txt", "calibration.txt")]
    return tuple(line for text in texts for line in text.split("\n") if line.strip())


def in_batches(texts: Sequence[str], rows: int) -> list[list[str]]:
    """One list a request, of ``rows`` texts that follow one another; what is left over is not used.

    >>> in_batches(["a", "b", "c"], 2)
    [['a', 'b']]
    """
    return [list(texts[start : start + rows]) for start in range(0, len(texts) - rows + 1, rows)]


def zipf(texts: Sequence[str], requests: int, *, exponent: float, seed: str) -> list[str]:
    """A stream in which the text of rank r comes r^-exponent as often as the first."""
    weights = list(accumulate(rank**-exponent for rank in range(1, len(texts) + 1)))
    return random.Random(seed).choices(texts, cum_weights=weights, k=requests)


def repeats(stream: Sequence[str], requests: int) -> float:
    """The share of the stream's first requests whose text came before: what a cache that keeps everything answers."""
    seen = list(islice(stream, requests))
    return 1 - len(set(seen)) / len(seen)
