"""Cores for a server and cores for its callers, who in earnest are on other machines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Of this machine, by number."""

    server: frozenset[int]
    callers: frozenset[int]


def cores_apart() -> Cores:
    """One for the callers and the others for the server; where there is one alone, both have it."""
    *others, last = sorted(os.sched_getaffinity(0))
    return Cores(frozenset(others or [last]), frozenset([last]))


@contextlib.contextmanager
def held_to(cores: frozenset[int]) -> Iterator[None]:
    """This thread, and what it starts meanwhile, runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
