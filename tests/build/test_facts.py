"""What is kept of a model beside its spec, and the lengths an engine is made for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import TextFacts, default_buckets
from tritonsmith_build.lock import facts_from_lock, lock_text
from workbench import some_facts, write_spec


@pytest.mark.parametrize(
    ("max_length", "buckets"),
    [
        (1, (1,)),
        (16, (16,)),
        (17, (16, 17)),
        (100, (16, 32, 64, 100)),
        (128, (16, 32, 64, 128)),
        (512, (16, 32, 64, 128, 256, 512)),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_buckets_are_powers_of_two_up_to_the_greatest_length(max_length: int, buckets: tuple[int, ...]) -> None:
    assert default_buckets(max_length) == buckets


@given(st.integers(min_value=1, max_value=10**6))
def test_every_length_has_a_bucket_at_most_twice_as_long(max_length: int) -> None:
    buckets = default_buckets(max_length)
    assert list(buckets) == sorted(set(buckets))
    assert buckets[-1] == max_length
    assert all(bucket >= 16 and bucket.bit_count() == 1 for bucket in buckets[:-1])
    assert all(right <= 2 * left for left, right in itertools.pairwise(buckets))
    assert buckets[0] == min(16, max_length)


@pytest.mark.parametrize(
    "facts",
    [
        some_facts(),
        some_facts(adapter={"adapter_model.safetensors": "1" * 64}, pad_id=1, pad_type_id=2, truncation_side="left"),
        some_facts(labels=('say "no"', "ja\\nein", "é\n")),
        some_facts(
            labels=(), width=32, activation="none", pooling="cls", normalize=True, inputs=("input_ids", "attention_mask")
        ),
    ],
    ids=["classifier", "adapter", "odd-labels", "embedding"],
)
def test_facts_come_back_from_the_lock_file_unchanged(tmp_path: Path, facts: TextFacts) -> None:
    spec = write_spec(tmp_path)
    spec.lock_file.write_text(lock_text(spec, facts), encoding="utf-8")
    assert facts_from_lock(spec) == facts


def test_a_lock_file_says_how_it_was_made(tmp_path: Path) -> None:
    first, *_ = lock_text(write_spec(tmp_path), some_facts()).splitlines()
    assert first == "# What `tritonsmith build moods` read from the model. Commit it; do not edit it."


def test_a_missing_lock_is_answered_with_the_command_that_makes_it(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    with pytest.raises(SmithError) as caught:
        facts_from_lock(spec)
    assert str(caught.value) == (
        f"{tmp_path}/moods.lock.toml: no such file: the model has not been read yet; "
        f"run: tritonsmith build {tmp_path}/moods.toml"
    )


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text + "[[[", lambda text: "extra = 1\n" + text, lambda text: text.replace("width = 3", "")],
    ids=["no-toml", "unknown-key", "lacks-a-key"],
)
def test_a_spoilt_lock_is_answered_with_the_command_that_mends_it(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    spec = write_spec(tmp_path)
    spec.lock_file.write_text(spoil(lock_text(spec, some_facts())), encoding="utf-8")
    with pytest.raises(SmithError) as caught:
        facts_from_lock(spec)
    assert str(caught.value).startswith(f"{spec.lock_file}: does not read as a lock file (")
    assert str(caught.value).endswith(f"); run: tritonsmith build {spec.file}")


def test_a_lock_that_is_not_even_text_is_answered_with_the_command_that_mends_it(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    spec.lock_file.write_bytes(b"\xff")
    with pytest.raises(SmithError, match="does not read as a lock file"):
        facts_from_lock(spec)
