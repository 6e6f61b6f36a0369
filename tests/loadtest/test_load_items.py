"""What is sent: lengths as people write, new texts and known ones in their shares."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest
from load.items import POOL, choose, pool_of
from load.scenario import Asked
from tritonsmith_build.errors import SmithError


def test_texts_are_of_many_lengths_and_the_same_every_time() -> None:
    pool = pool_of(Asked(name="moods"), ["TEXT"])
    lengths = [len(text.split()) for text in pool]
    assert len(pool) == len(set(pool)) == POOL
    assert pool == pool_of(Asked(name="moods"), ["TEXT"])
    assert 8 <= median(lengths) <= 22
    assert max(lengths) > 3 * median(lengths)
    assert min(lengths) < median(lengths) / 2


def test_a_share_of_requests_has_what_no_cache_knows() -> None:
    asked, random = Asked(name="moods", batch=(1, 3), unique=0.25), Random(0)
    pool = pool_of(asked, ["TEXT"])
    chosen = [choose(asked, pool, random) for _ in range(2000)]
    assert {len(request.items) for request in chosen} == {1, 3}
    new = [request for request in chosen if request.known is None]
    assert 0.2 < len(new) / len(chosen) < 0.3
    texts = [text for request in new for text in request.items]
    assert len(set(texts)) == len(texts)
    assert not set(texts) & set(pool)
    for request in chosen:
        assert request.known is None or request.items == [pool[place] for place in request.known]


@pytest.mark.parametrize("tensor", ["IMAGE", "AUDIO"])
def test_images_and_recordings_are_files_and_only_jpegs_can_be_new(tensor: str) -> None:
    asked = Asked(name="files", unique=1)
    pool = pool_of(asked, [tensor])
    assert len(set(pool)) == len(pool) > 1
    chosen = choose(asked, pool, Random(0))
    assert (chosen.known is None) is (tensor == "IMAGE")


def test_items_of_any_kind_are_lines_of_json(tmp_path: Path) -> None:
    items: list[Any] = [{"question": "Who?", "context": "Ada."}, {"question": "Where?", "context": "Here."}]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)) + "\n\n")
    asked = Asked(name="answers", data=tmp_path / "items.jsonl")
    assert pool_of(asked, ["QUESTION", "CONTEXT"]) == items
    assert choose(asked, items, Random(0)).known is not None
    (tmp_path / "items.jsonl").write_text("{")
    with pytest.raises(SmithError, match=r"items\.jsonl: cannot be read"):
        pool_of(asked, ["QUESTION", "CONTEXT"])


def test_what_needs_more_than_one_thing_needs_data_or_options() -> None:
    with pytest.raises(SmithError, match=r"^the scenario: topics is asked TEXT and CANDIDATE_LABELS; give its pipeline data"):
        pool_of(Asked(name="topics"), ["TEXT", "CANDIDATE_LABELS"])
    assert pool_of(Asked(name="topics", options={"candidate_labels": ["a"]}), ["TEXT", "CANDIDATE_LABELS"])
    with pytest.raises(SmithError, match="answers is asked QUESTION and CONTEXT"):
        pool_of(Asked(name="answers", options={"top_k": 2}), ["QUESTION", "CONTEXT"])
