"""Whether an answer is right: the same as before the load where its item was known, else of the same kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


class WrongAnswerError(Exception):
    """The server answered, and not rightly."""


def check(answers: Sequence[Any], expected: Sequence[Any], *, known: bool, tolerance: float) -> None:
    """Hold answers against those of other times. Raises WrongAnswerError.

    Where the items were ``known``, numbers may differ by ``tolerance``; else only the kind of answer is compared.
    """
    if len(answers) != len(expected):
        raise WrongAnswerError(f"{len(answers)} answers to {len(expected)} items")
    for index, (answer, wanted) in enumerate(zip(answers, expected, strict=True)):
        if problem := _same(answer, wanted, tolerance) if known else _alike(answer, wanted):
            raise WrongAnswerError(f"item {index}: {problem}")


def _same(answer: Any, wanted: Any, tolerance: float) -> str | None:
    """What differs, None where nothing does."""
    if problem := _alike(answer, wanted):
        return problem
    if isinstance(wanted, dict):
        return _first(_same(answer[key], wanted[key], tolerance) for key in wanted)
    if isinstance(wanted, list | tuple) and len(answer) == len(wanted):
        return _first(_same(*pair, tolerance) for pair in zip(answer, wanted, strict=True))
    if isinstance(wanted, float | np.ndarray):
        difference = float(np.max(np.abs(np.subtract(answer, wanted)), initial=0))
        return f"it differs by {difference:.3g} from what it was" if difference > tolerance else None
    return None if answer == wanted else f"{answer!r} where it was {wanted!r}"


def _first(problems: Iterable[str | None]) -> str | None:
    return next(filter(None, problems), None)


def _alike(answer: Any, wanted: Any) -> str | None:
    """What is of another kind, None where nothing is. Of lists, which may be of any length, each part is like the first."""
    if type(answer) is not type(wanted):
        return f"{type(answer).__name__} where {type(wanted).__name__} was answered"
    if isinstance(wanted, dict):
        if answer.keys() != wanted.keys():
            return f"it has {', '.join(answer)} where {', '.join(wanted)} was answered"
        return _first(_alike(answer[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return _first(_alike(part, first) for part in answer for first in wanted[:1])
    if isinstance(wanted, float | np.ndarray) and (np.shape(answer) != np.shape(wanted) or not np.isfinite(answer).all()):
        return f"it has shape {np.shape(answer)}, or numbers without end, where {np.shape(wanted)} was answered"
    return None
