from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonsmith_steps.meters import Sums
from tritonsmith_steps.personal import KINDS, REGIONS, PersonalKind, Region, personal, without
from tritonsmith_steps.redact import Redact
from wild_text import any_text

ALL = list(KINDS)
FOUND = [
    ("mail ann.o'neil+shop@example.co.uk now", "email", "ann.o'neil+shop@example.co.uk"),
    ("Ärger? müller@bücher.example!", "email", "müller@bücher.example"),
    ("a card 4111 1111 1111 1111, ok", "card", "4111 1111 1111 1111"),
    ("378282246310005", "card", "378282246310005"),
    ("5555-5555-5555-4444 is gone", "card", "5555-5555-5555-4444"),
    ("IBAN GB33 BUKB 2020 1555 5555 55 AND MORE", "iban", "GB33 BUKB 2020 1555 5555 55"),
    ("to DE89370400440532013000.", "iban", "DE89370400440532013000"),
    ("from 192.168.0.254 at night", "ip", "192.168.0.254"),
    ("[2001:db8::ff00:42:8329]", "ip", "2001:db8::ff00:42:8329"),
    ("::ffff:10.0.0.1 came", "ip", "::ffff:10.0.0.1"),
    ("SSN 536-90-4399.", "national_id", "536-90-4399"),
    ("Steuer-ID 36 574 261 809 bitte", "national_id", "36 574 261 809"),
    ("DNI 54362315K", "national_id", "54362315K"),
    ("CPF 390.533.447-05", "national_id", "390.533.447-05"),
    ("call +1 650-253-0000 today", "phone", "+1 650-253-0000"),
    ("call (415) 555-2671!", "phone", "(415) 555-2671"),
    ("Tel. 030 2093-70333", "phone", "030 2093-70333"),
]
NONE = [
    "No numbers at all, and an @ that stands alone @ home.",
    "In 2024 we sold 12,345,678 units for $1,299.99 at 14:30:05 on 2024-05-12.",
    "Version 1.2.3.4.5 or 999.1.1.1; the ratio was 3:2:1, and std::vector<int> is no address.",
    "Order 4111 1111 1111 1112 has a wrong check digit, as has GB33 BUKB 2020 1555 5555 56.",
    "SSN 000-12-3456 is nobody's, and 536904399 may be anything.",
    "The hash is a1b2c3d4e5f60718293a4b5c6d7e8f90.",
    "ISBN 978-3-16-148410-0",
]


def test_every_kind_and_region_that_a_spec_may_name_is_known() -> None:
    assert list(KINDS) == list(get_args(PersonalKind))
    assert list(REGIONS) == list(get_args(Region))


@pytest.mark.parametrize(("text", "kind", "found"), FOUND)
def test_what_identifies_or_reaches_a_person_is_found_where_it_stands(text: str, kind: str, found: str) -> None:
    start = text.index(found)
    assert personal(text, ALL, ["US", "DE", "ES", "BR"]) == [(start, start + len(found), kind)]
    assert personal(text, [other for other in ALL if other != kind], []) == []


@pytest.mark.parametrize("text", NONE)
def test_other_numbers_are_left(text: str) -> None:
    assert personal(text, ALL, ["US", "DE"]) == []


def test_a_number_is_a_person_s_in_its_own_region_alone() -> None:
    assert personal("Tel. 030 2093-70333", ALL, ["US"]) == []
    assert personal("DNI 54362315K", ALL, ["US", "DE"]) == []


@given(st.lists(st.sampled_from([text for text, _, _ in FOUND] + NONE), max_size=5), any_text)
def test_what_is_left_stands_where_it_stood(texts: list[str], wild: str) -> None:
    text = " | ".join([*texts, wild])
    found = personal(text, ALL, REGIONS)
    clean = without(text, found)
    assert len(clean) == len(text)
    kept = np.ones(len(text), bool)
    for start, end, name in found:
        kept[start:end] = False
        assert clean[start:end].rstrip() == KINDS[name].word
    assert all(a == b for a, b, keep in zip(text, clean, kept, strict=True) if keep)
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(found))


HOSTILE = ["1" * 65536, "1 " * 1000, "a@" * 32768, "a." * 32768 + "@", "1:" * 1000, "DE11" * 16384, "650 253 0001 " * 333]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:8])
def test_a_hostile_text_takes_no_longer_than_its_length_explains(text: str) -> None:
    """Of the process's own time: no pattern goes back over the text again and again."""

    def seconds(given: str) -> float:
        begin = time.process_time()
        personal(given, ALL, ["US", "DE"])
        return time.process_time() - begin

    quarter, whole = (min(seconds(text[:size]) for _ in range(3)) for size in (len(text) // 4, len(text)))
    assert whole < 8 * quarter + 0.01


@pytest.fixture
def step(tmp_path: Path) -> Redact:
    settings = {"kinds": ["email", "phone"], "regions": ["US"], "max_bytes": 100}
    (tmp_path / "step.json").write_text(json.dumps(settings))
    return Redact.load(tmp_path, {}, Sums())


def test_a_step_gives_every_tensor_back_less_what_it_takes_out_and_counts_that(tmp_path: Path, step: Redact) -> None:
    sums = Sums()
    step._count = sums
    texts = np.array([[b"ask ann@example.org"], ["é (415) 555-2671 x@example.org é".encode()]], dtype=object)
    documents = np.array([[b"none", b"bob@example.org"]], dtype=object)
    (made,) = step([{"QUERY": texts, "DOCUMENTS": documents}])
    assert made["QUERY"].tolist() == [[b"ask EMAIL          "], ["é PHONE          EMAIL         é".encode()]]
    assert made["DOCUMENTS"].tolist() == [[b"none", b"EMAIL          "]]
    counted, _ = sums.all_handed_over()
    assert counted == {("redacted", "email"): 3, ("redacted", "phone"): 1}


def test_what_the_next_step_refuses_it_gets_as_it_came(step: Redact) -> None:
    odd = np.array([[b"\xff ann@example.org"], [b"ann@example.org " * 20], [b""]], dtype=object)
    (made,) = step([{"TEXT": odd}])
    assert (made["TEXT"] == odd).all()


def test_a_text_of_numbers_alone_is_refused_and_its_neighbours_are_not(step: Redact) -> None:
    texts = [np.array([[b"fine"], [b"1 " * 30]], dtype=object), np.array([[b"fine"]], dtype=object)]
    step._settings = replace(step._settings, max_numbers=29)
    refused, answered = step([{"TEXT": text} for text in texts])
    most = "at most 29 are looked through for a person's, split it"
    assert str(refused) == f"item 1: the text has 30 numbers; {most}"
    assert not isinstance(answered, ValueError)


@pytest.mark.parametrize(("key", "value"), [("kinds", ["mail"]), ("regions", ["XX"])])
def test_unknown_settings_are_named(tmp_path: Path, key: str, value: list[str]) -> None:
    settings = {"kinds": ["email"], "regions": ["US"], "max_bytes": 100, key: value}
    (tmp_path / "step.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=re.escape(repr(value[0]))):
        Redact.load(tmp_path, {}, Sums())
