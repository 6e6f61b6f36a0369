"""Where a text says how somebody can be reached, paid or identified: by patterns, checked by their check digits and plans."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

PersonalKind = Literal["email", "iban", "card", "ip", "national_id", "phone"]
Region = Literal["US", "GB", "CA", "AU", "DE", "FR", "ES", "IT", "NL", "BE", "CH", "PL", "SE", "FI", "BR", "IN"]
Found = tuple[int, int]
"""Where in the text, in characters."""


@dataclass(frozen=True)
class Kind:
    """One kind of personal data."""

    word: str
    """What stands in its place: never longer than what it stands for."""
    find: Callable[[str, Sequence[str]], Iterator[Found]]
    """``find(text, regions)``."""


_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}")
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4})?(?![\w:]|\.\d)")
_CARD = re.compile(r"(?<![\w.-])[1-6](?:[ -]?\d){11,18}(?![\w-]|\.\d)")
_ISSUED = re.compile(
    r"4\d{12}(\d{3}){0,2}|(5[1-5]|2[2-7]|35)\d{14}|3[47]\d{13}|(1800|2131)\d{11}|3([689]\d|0[0-5])\d{11}|(5[06-8]|6)\d{10,17}"
)
"""Visa; Mastercard and JCB; American Express; JCB; Diners Club; Maestro, Discover and UnionPay."""
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{1,4}){3,10}(?!\w)")
_NUMBER = re.compile(r"(?<![\w.-])[A-Za-z]{0,2}\d(?:[ ./-]?[A-Za-z0-9]){6,20}(?![\w-])")
_SSN = re.compile(r"(?<![\w.-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])")
_NATIONAL: Mapping[str, Sequence[str]] = {
    "US": (),  # its numbers have no check digits: ``_SSN``
    "GB": ("gb.nhs",),
    "CA": ("ca.sin",),
    "AU": ("au.tfn",),
    "DE": ("de.idnr",),
    "FR": ("fr.nir",),
    "ES": ("es.dni", "es.nie"),
    "IT": ("it.codicefiscale",),
    "NL": ("nl.bsn",),
    "BE": ("be.nn",),
    "CH": ("ch.ssn",),
    "PL": ("pl.pesel",),
    "SE": ("se.personnummer",),
    "FI": ("fi.hetu",),
    "BR": ("br.cpf",),
    "IN": ("in_.aadhaar", "in_.pan"),
}
"""By region, the modules of ``stdnum`` that tell a number of a person's."""
REGIONS = tuple(_NATIONAL)
_SEPARATORS = re.compile("[ -]")
_DIGITS = re.compile(r"\d+")


def _emails(text: str, regions: Sequence[str]) -> Iterator[Found]:
    return (match.span() for match in _EMAIL.finditer(text)) if "@" in text else iter(())


def _addresses(text: str, regions: Sequence[str]) -> Iterator[Found]:
    for pattern in (_V6, _V4):
        for match in pattern.finditer(text):
            try:
                ipaddress.ip_address(match[0])
            except ValueError:
                continue
            if match[0] != "::":
                yield match.span()


def _cards(text: str, regions: Sequence[str]) -> Iterator[Found]:
    return (found for found in _longest(_CARD, text, ("luhn",), least=12) if _ISSUED.fullmatch(_bare(text[slice(*found)])))


def _ibans(text: str, regions: Sequence[str]) -> Iterator[Found]:
    return _longest(_IBAN, text, ("iban",), least=15)


def _national(text: str, regions: Sequence[str]) -> Iterator[Found]:
    if "US" in regions:
        checks = _check("us.ssn"), _check("us.itin")
        yield from (match.span() for match in _SSN.finditer(text) if any(check(match[0]) for check in checks))
    yield from _longest(_NUMBER, text, tuple(name for region in regions for name in _NATIONAL[region]), least=8)


def _phones(text: str, regions: Sequence[str]) -> Iterator[Found]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    # With its country's code a number may be of any length that the plan has; without one it must be a number in use.
    for region, leniency in ((None, Leniency.POSSIBLE), *((region, Leniency.VALID) for region in regions)):
        for match in PhoneNumberMatcher(text, region, leniency=leniency):
            yield match.start, match.end


def _longest(pattern: re.Pattern[str], text: str, modules: Sequence[str], least: int) -> Iterator[Found]:
    """Where a number stands that one of ``stdnum``'s modules takes: a pattern may have taken the next word too."""
    checks = [_check(name) for name in modules]
    for match in pattern.finditer(text):
        start, end = match.span()
        while end - start >= least:
            if text[end - 1].isalnum() and any(check(text[start:end]) for check in checks):
                yield start, end
                break
            end -= 1


@cache
def _check(name: str) -> Callable[[str], bool]:
    module: Any = import_module(f"stdnum.{name}")
    return lambda number: module.is_valid(_bare(number))


def _bare(number: str) -> str:
    return _SEPARATORS.sub("", number)


KINDS: Mapping[str, Kind] = {
    "email": Kind("EMAIL", _emails),
    "iban": Kind("IBAN", _ibans),
    "card": Kind("CARD", _cards),
    "ip": Kind("IP", _addresses),
    "national_id": Kind("ID", _national),
    "phone": Kind("PHONE", _phones),
}
"""In the order in which they are looked for: what one has taken is no other's."""


def numbers(text: str) -> int:
    """How many numbers a text has: with each of them the search for a person's takes longer."""
    return len(_DIGITS.findall(text))


def personal(text: str, kinds: Sequence[str], regions: Sequence[str]) -> list[tuple[int, int, str]]:
    """Where a text has something of these ``kinds``, in its order, and which.

    ``regions`` say by whose plans a telephone number without a country's code is read, and whose national ids are known.

    >>> personal("Ask ann@example.org, not 4111 1111 1111 1111.", ["email", "card"], [])
    [(4, 19, 'email'), (25, 44, 'card')]
    """
    taken: list[tuple[int, int, str]] = []
    for name in KINDS:
        if name in kinds:
            for start, end in KINDS[name].find(text, regions):
                if not any(start < other_end and other_start < end for other_start, other_end, _ in taken):
                    taken.append((start, end, name))
    return sorted(taken)


def without(text: str, found: Sequence[tuple[int, int, str]]) -> str:
    """The text with a word in place of each, filled up with spaces: what stands behind it stands where it stood.

    >>> without("Ask ann@example.org.", [(4, 19, "email")])
    'Ask EMAIL          .'
    """
    for start, end, name in found:
        text = text[:start] + KINDS[name].word.ljust(end - start) + text[end:]
    return text
