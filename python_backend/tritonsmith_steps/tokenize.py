"""Texts to token ids: checked one by one, encoded in one call for all requests at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from tritonsmith_steps.arrays import Arrays, Count, Result, spans
from tritonsmith_steps.settings import settings_from

Padding = Literal["bucket", "longest"]


@dataclass(frozen=True)
class TokenizeSettings:
    """What the model's tokenizer and engine fix."""

    inputs: Sequence[str]
    """Names of the engine's inputs, of ``input_ids``, ``attention_mask`` and ``token_type_ids``."""
    max_length: int
    buckets: Sequence[int]
    max_bytes: int
    pad: dict[str, int]
    truncation_side: Literal["left", "right"]
    beside: Sequence[str] = ()
    """Of ``OFFSETS`` and ``SPECIAL``, what a later step needs to find its way back to the text."""

    def __post_init__(self) -> None:
        if self.max_length > max(self.buckets, default=0):
            raise ValueError(f"max_length {self.max_length} exceeds the last of buckets {list(self.buckets)}")


class Tokenize:
    """``TEXT`` (UTF-8 bytes ``[rows, 1]``) to the engine's INT32 inputs ``[rows, length]``; with ``TEXT_PAIR``, pairs of texts.

    ``length`` is the longest row's, or with ``padding="bucket"`` the next bucket's. Longer texts are cut and counted.
    """

    def __init__(self, tokenizer: Tokenizer, settings: TokenizeSettings, *, padding: Padding, count: Count) -> None:
        if padding not in get_args(Padding):
            raise ValueError(f"padding {padding!r} is unknown; use one of {', '.join(get_args(Padding))}")
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_length, direction=settings.truncation_side)
        self._tokenizer, self._settings, self._padding, self._count = tokenizer, settings, padding, count

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Tokenize:
        """From a version folder with ``step.json`` and ``tokenizer.json``."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = settings_from(folder, TokenizeSettings)
        return cls(tokenizer, settings, padding=parameters.get("padding", "bucket"), count=count)  # type: ignore[arg-type]

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a bad text is its own request's error."""
        results: list[Any] = [self._texts(request) for request in requests]
        good = [index for index, texts in enumerate(results) if not isinstance(texts, ValueError)]
        # The fast one has no offsets.
        encode = self._tokenizer.encode_batch if self._settings.beside else self._tokenizer.encode_batch_fast
        encodings = encode(list(chain.from_iterable(results[index] for index in good)))
        for index, (start, stop) in zip(good, spans([len(results[index]) for index in good]), strict=True):
            results[index] = self._arrays(encodings[start:stop])
        return results

    def _texts(self, request: Arrays) -> list[str] | list[tuple[str, str]] | ValueError:
        try:
            texts = self._column(request["TEXT"], "text")
            if "TEXT_PAIR" not in request:
                return texts
            others = self._column(request["TEXT_PAIR"], "second text")
            if len(others) != len(texts):
                raise ValueError(f"{len(texts)} texts and {len(others)} second texts; give as many of both")
            return list(zip(texts, others, strict=True))
        except ValueError as error:
            return error

    def _column(self, column: NDArray[Any], what: str) -> list[str]:
        if not column.size:
            raise ValueError(f"no {what} was given; give at least one")
        return [self._text(item, value, what) for item, value in enumerate(column.ravel())]

    def _text(self, item: int, value: bytes, what: str) -> str:
        limit = self._settings.max_bytes
        if len(value) > limit:
            raise ValueError(f"item {item}: {len(value)} bytes of {what}; at most {limit} are taken, shorten or split it")
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"item {item}: not UTF-8 at byte {error.start}; encode the {what} as UTF-8") from None
        if not text.strip():
            raise ValueError(f"item {item}: the {what} is empty; leave it out")
        return text

    def _arrays(self, encodings: Sequence[Encoding]) -> Arrays:
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        length = self._length(int(lengths.max()))
        ids = np.full((len(encodings), length), self._settings.pad["input_ids"], dtype=np.int32)
        types = np.full_like(ids, self._settings.pad["token_type_ids"])
        for row, encoding in enumerate(encodings):
            ids[row, : lengths[row]] = encoding.ids
            types[row, : lengths[row]] = encoding.type_ids
        mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
        self._count("tokens", int(lengths.sum()))
        self._count("padding", int(ids.size - lengths.sum()))
        self._count("truncated", sum(bool(encoding.overflowing) for encoding in encodings))
        made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        if self._settings.beside:
            made |= self._places(encodings, length)
        return {name: made[name] for name in (*self._settings.inputs, *self._settings.beside)}

    def _places(self, encodings: Sequence[Encoding], length: int) -> Arrays:
        """Where each token stands in its text, in characters ``[rows, length, 2]``, and whether it is none of the text's."""
        offsets = np.zeros((len(encodings), length, 2), dtype=np.int32)
        special = np.ones((len(encodings), length), dtype=np.int32)
        for row, encoding in enumerate(encodings):
            offsets[row, : len(encoding.ids)] = encoding.offsets
            special[row, : len(encoding.ids)] = encoding.special_tokens_mask
        return {"OFFSETS": offsets, "SPECIAL": special}

    def _length(self, longest: int) -> int:
        if self._padding == "longest":
            return longest
        return next(bucket for bucket in self._settings.buckets if bucket >= longest)
