"""What is sent: items of realistic length, some of them never seen before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.profiling.asking import ASKED

from load.scenario import Asked

POOL = 64
"""Items of a pipeline whose answers are known before the load begins."""
_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 14, 0.8, 200


@dataclass(frozen=True)
class Chosen:
    """The items of one request."""

    items: list[Any]
    known: list[int] | None
    """Their places in the pool, None where they were never sent before."""


def pool_of(asked: Asked, needed: Sequence[str]) -> list[Any]:
    """Items for a pipeline that cannot do without the tensors ``needed``. Raises SmithError where there is nothing to send."""
    if asked.data is not None and asked.data.suffix == ".jsonl":
        return _from_json_lines(asked.data)
    tensors = [tensor for tensor in needed if tensor in ASKED]
    if len(tensors) != 1 or (len(needed) > 1 and not asked.options):
        what = f"{asked.name} is asked {' and '.join(needed)}"
        raise SmithError(what, where="the scenario", fix="give its pipeline data, items as .jsonl, or the options it needs")
    items = ASKED[tensors[0]].items(asked.data)
    if tensors != ["TEXT"]:
        return items[:POOL]
    texts = [item.decode() for item in items]
    return texts[:POOL] if asked.data else _of_many_lengths(texts)


def _of_many_lengths(texts: Sequence[str]) -> list[str]:
    """Texts whose numbers of words are spread as those of people's sentences and paragraphs are: log-normally."""
    random = Random(0)
    words = chain.from_iterable(text.split() for text in cycle(texts))
    lengths = [min(_MOST_WORDS, max(1, round(_MEDIAN_WORDS * random.lognormvariate(0, _SPREAD)))) for _ in range(POOL)]
    return [" ".join(islice(words, length)) for length in lengths]


def _from_json_lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:POOL]
    except (OSError, ValueError) as error:
        raise SmithError(f"cannot be read: {error}", where=path, fix="write a JSON value a line") from None


def choose(asked: Asked, pool: Sequence[Any], random: Random) -> Chosen:
    """The items of the next request."""
    places = [random.randrange(len(pool)) for _ in range(random.choice(asked.batch))]
    items = [pool[place] for place in places]
    if random.random() >= asked.unique:
        return Chosen(items, places)
    new = [_unseen(item, f"{random.getrandbits(64):016x}") for item in items]
    return Chosen(new, places if new == items else None)


def _unseen(item: Any, mark: str) -> Any:
    """An item like this one, but for a mark. What follows the end of a JPEG is not read; other things stay as they are."""
    if isinstance(item, str):
        return f"{item} {mark}"
    if isinstance(item, bytes) and item.startswith(b"\xff\xd8"):
        return item + mark.encode()
    return item
