"""Texts to token ids: read and checked one by one, encoded in one call for all requests at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from tokenizers import Encoding, Tokenizer

from tritonsmith_steps.arrays import Arrays, Count, Result, spans
from tritonsmith_steps.items import ITEM, TRUNCATED, Item, Text, item_column
from tritonsmith_steps.readers import Asked, Limits, reader_named
from tritonsmith_steps.settings import settings_from

Padding = Literal["bucket", "longest"]
Cut = Literal["longest_first", "only_first", "only_second"]


@dataclass(frozen=True)
class TokenizeSettings:
    """What the model's tokenizer and engine fix, and how a task asks."""

    inputs: Sequence[str]
    """Names of the engine's inputs, of ``input_ids``, ``attention_mask`` and ``token_type_ids``."""
    max_length: int
    buckets: Sequence[int]
    max_bytes: int
    pad: dict[str, int]
    truncation_side: Literal["left", "right"]
    beside: Sequence[str] = ()
    """Of ``PLACES``, ``ITEM`` and ``TRUNCATED``, what later steps or the caller need to find their way back to the text."""
    reads: str = "readers.texts"
    """How a request is read: ``module.function`` of this package."""
    cut: Cut = "longest_first"
    """Which text of a pair gives way where both together are too long."""
    stride: int = 0
    """Where it is not 0, a long text becomes several rows, each with so many tokens of the one before; nothing is cut."""
    prompts: dict[str, str] = field(default_factory=dict)
    """By name, what is put before a text."""
    prompt: str | None = None
    """The one that stands there where the caller names none."""

    def __post_init__(self) -> None:
        if self.max_length > max(self.buckets, default=0):
            raise ValueError(f"max_length {self.max_length} exceeds the last of buckets {list(self.buckets)}")


class Tokenize:
    """A request as its reader takes it (``TEXT``: UTF-8 bytes ``[rows, 1]``) to the engine's INT32 inputs ``[rows, length]``.

    ``length`` is the longest row's, or with ``padding="bucket"`` the next bucket's. Longer texts are cut and counted, or with
    a stride become several rows. A request may become at most ``most`` rows.
    """

    ROOM = "sends"

    def __init__(
        self, tokenizer: Tokenizer, settings: TokenizeSettings, *, padding: Padding, count: Count, most: int | None = None
    ) -> None:
        if padding not in get_args(Padding):
            raise ValueError(f"padding {padding!r} is unknown; use one of {', '.join(get_args(Padding))}")
        tokenizer.no_padding()
        tokenizer.enable_truncation(
            settings.max_length, stride=settings.stride, strategy=settings.cut, direction=settings.truncation_side
        )
        self._tokenizer, self._settings, self._padding, self._count, self._most = tokenizer, settings, padding, count, most
        self.unknown = unknown_token(tokenizer)
        self._reader = reader_named(settings.reads)
        self._limits = Limits(settings.max_bytes, settings.prompts, settings.prompt)

    @classmethod
    def load(cls, folder: Path, parameters: dict[str, str], count: Count) -> Tokenize:
        """From a version folder with ``step.json`` and ``tokenizer.json``."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = settings_from(folder, TokenizeSettings)
        most = int(parameters["rows"]) if "rows" in parameters else None
        return cls(tokenizer, settings, padding=parameters.get("padding", "bucket"), count=count, most=most)  # type: ignore[arg-type]

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a bad text is its own request's error."""
        results: list[Any] = [self._read(request) for request in requests]
        good = [index for index, items in enumerate(results) if not isinstance(items, ValueError)]
        encoded = self._encoded([[text for item in results[index] for text in item.texts] for index in good])
        for index, encodings in zip(good, encoded, strict=True):
            results[index] = encodings if isinstance(encodings, ValueError) else self._rows(results[index], encodings)
        return results

    def _read(self, request: Arrays) -> list[Item] | ValueError:
        try:
            items = self._reader(Asked(request, self._limits))
            self._check_rows(sum(len(item.texts) for item in items))  # before it costs anything to encode them
            if self._settings.stride:
                self._check_room(items)
        except ValueError as error:
            return error
        return items

    def _check_rows(self, rows: int) -> None:
        if self._most and rows > self._most:
            fix = f"at most {self._most} are taken, ask for less at once"
            raise ValueError(f"the request makes {rows} rows for the engine; {fix}")

    def _check_room(self, items: Sequence[Item]) -> None:
        # tokenizers panics where a window, without the text that stands in each, is no longer than what two share.
        most = self._settings.max_length - self._settings.stride - self._tokenizer.num_special_tokens_to_add(is_pair=True) - 1
        for number, item in enumerate(items):
            if any(self._tokens(pair[0]) > most for pair in item.texts):
                what = f"the first text takes more than {most} tokens and leaves the second no room"
                raise ValueError(f"item {number}: {what}; shorten it")

    def _tokens(self, text: str) -> int:
        try:
            return len(self._tokenizer.encode(text, add_special_tokens=False))
        except Exception:
            return self._settings.max_length

    def _encoded(self, requests: Sequence[Sequence[Text]]) -> Sequence[Sequence[Encoding] | ValueError]:
        # The fast one has no offsets.
        places = any(name in PLACES for name in self._settings.beside)
        encode = self._tokenizer.encode_batch if places else self._tokenizer.encode_batch_fast
        try:
            encodings = encode(list(chain.from_iterable(requests)))
        except Exception:
            return [self._encoded_alone(encode, texts) for texts in requests]
        return [encodings[start:stop] for start, stop in spans([len(texts) for texts in requests])]

    def _encoded_alone(self, encode: Callable[[Any], list[Encoding]], texts: Sequence[Text]) -> list[Encoding] | ValueError:
        try:
            return encode(list(texts))
        except Exception:
            left = {"only_first": "second", "only_second": "first"}.get(self._settings.cut, "other")
            return ValueError(
                f"the {left} text of a pair leaves the one beside it no room in {self._settings.max_length} tokens; shorten it"
            )

    def _rows(self, items: Sequence[Item], encodings: Sequence[Encoding]) -> Result:
        if self._settings.stride:
            windows, cut = [[encoding, *encoding.overflowing] for encoding in encodings], [False] * len(encodings)
        else:
            windows, cut = [[encoding] for encoding in encodings], [bool(encoding.overflowing) for encoding in encodings]
            self._count("truncated", sum(cut))
        rows = list(chain.from_iterable(windows))
        try:
            self._check_rows(len(rows))
        except ValueError as error:
            return error
        arrays = self._arrays(rows)
        if TRUNCATED in self._settings.beside:
            arrays[TRUNCATED] = np.array(cut)[:, None]
        if ITEM in self._settings.beside:
            places = spans([len(item.texts) for item in items])
            counts = [sum(map(len, windows[start:stop])) for start, stop in places]
            said = [
                replace(item, about={**item.about, "truncated": any(cut[start:stop])})
                for item, (start, stop) in zip(items, places, strict=True)
            ]
            arrays[ITEM] = item_column(said, counts)
        return arrays

    def _arrays(self, encodings: Sequence[Encoding]) -> Arrays:
        # Requests of one short text are many, and numpy's calls on few numbers dear: what lists do as well is left to them.
        tokens = [encoding.ids for encoding in encodings]
        lengths = [len(row) for row in tokens]
        shape = len(tokens), self._length(max(lengths))
        ids = np.full(shape, self._settings.pad["input_ids"], dtype=np.int32)
        types = np.full(shape, self._settings.pad["token_type_ids"], dtype=np.int32)
        mask = np.zeros(shape, dtype=np.int32)
        for row, (encoding, length) in enumerate(zip(encodings, lengths, strict=True)):
            ids[row, :length] = tokens[row]
            types[row, :length] = encoding.type_ids
            mask[row, :length] = 1
        self._count("tokens", sum(lengths))
        self._count("padding", ids.size - sum(lengths))
        made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        places = {name: self._places(encodings, shape[1], PLACES[name]) for name in self._settings.beside if name in PLACES}
        return {**{name: made[name] for name in self._settings.inputs}, **places}

    def _places(self, encodings: Sequence[Encoding], length: int, place: Place) -> Any:
        values = [place.of(encoding) for encoding in encodings]
        width = np.shape(place.none)
        out = np.full((len(encodings), length, *width), place.none, dtype=np.int32)
        for row, value in enumerate(values):
            out[row, : len(value)] = value
        return out

    def _length(self, longest: int) -> int:
        if self._padding == "longest":
            return longest
        return next(bucket for bucket in self._settings.buckets if bucket >= longest)


def unknown_token(tokenizer: Tokenizer) -> int | None:
    """The token for what the vocabulary has not; None where a tokenizer, as one of bytes, has all there is."""
    named = getattr(tokenizer.model, "unk_token", None) or "<unk>"  # as Unigram's is called, whose model does not say
    found: int | None = tokenizer.token_to_id(named)
    return found


@dataclass(frozen=True)
class Place:
    """Something about each token of a row."""

    of: Callable[[Encoding], Sequence[Any]]
    none: int | tuple[int, int]
    """What padding has."""


def _or_none(values: Sequence[int | None]) -> list[int]:
    return [-1 if value is None else value for value in values]


PLACES: Mapping[str, Place] = {
    "OFFSETS": Place(lambda encoding: encoding.offsets, (0, 0)),
    "SPECIAL": Place(lambda encoding: encoding.special_tokens_mask, 1),
    "SEQUENCE": Place(lambda encoding: _or_none(encoding.sequence_ids), -1),
    "WORD": Place(lambda encoding: _or_none(encoding.word_ids), -1),
}
"""INT32 ``[rows, length]``: where a token stands in its text, in characters (two numbers); whether it is none of the text's; of
which text of a pair it is; which word of it. -1 is none."""


STEP = Tokenize
