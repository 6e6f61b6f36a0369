"""What a peer's ``peer.toml`` says of its requests and answers, as functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.roads import Decode, Encode, Vectors, compact

TEXTS, TEXT = "$texts", "$text"


def request(many: str, single: str = "") -> Encode:
    """``$texts`` becomes a JSON list of strings; where ``single`` is given, ``$text`` in it becomes one string.

    >>> request('{"texts": $texts}')(["a", "b"])
    b'{"texts":["a","b"]}'
    """

    def encode(texts: Sequence[str]) -> bytes:
        if single and len(texts) == 1:
            return _filled(single, TEXT, texts[0])
        return _filled(many, TEXTS, list(texts))

    return encode


def _filled(template: str, name: str, value: object) -> bytes:
    return compact(json.loads(template.replace(name, json.dumps(value))))


def answer(many: str, single: str = "", *, width: int = 0) -> Decode:
    """A dotted path to a list of vectors, one a text, "" for the whole reply; with ``width`` to one flat list of all.

    ``*`` in it stands for each of a list.

    ``single`` is the path to one vector, in the answer to a request made from ``request_single``.
    """

    def decode(body: bytes, headers: Mapping[str, str]) -> Vectors:
        reply = json.loads(body)
        path = single if single and _has(reply, single) else many
        vectors = np.array(_at(reply, path), dtype=np.float32)
        return vectors.reshape(-1, width) if width else np.atleast_2d(vectors)

    return decode


def _at(value: Any, path: str) -> Any:
    keys = list(filter(None, path.split(".")))
    for number, key in enumerate(keys):
        if key == "*":
            return [_at(one, ".".join(keys[number + 1 :])) for one in value]
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _has(value: Any, path: str) -> bool:
    try:
        _at(value, path)
    except (KeyError, IndexError, ValueError, TypeError):
        return False
    return True
