"""Light load of all kinds: new texts and repeated ones, short and long, and a caller's mistake now and then."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence

from tritonsmith import Client, InvalidInputError, TritonsmithError

_CALLERS = 4
_REPEATED = 5
"""One text in so many is a repeated one."""
_ODD = {1: "x" * 70_000, 2: "cut " * 5_000}
"""Of 25 texts the first is refused, and the second cut."""


@contextlib.contextmanager
def light_load(url: str, pipeline: str, texts: Sequence[str]) -> Iterator[None]:
    """Ask while the context lasts, a few callers at once. Raises the first error that is not the callers' own."""
    stop, errors = threading.Event(), list[TritonsmithError]()

    def call(number: int, client: Client) -> None:
        pipe = client.pipeline(pipeline)
        for turn in itertools.count(number):
            if stop.is_set():
                return
            try:
                pipe(_text(turn, texts))
            except InvalidInputError:
                continue
            except TritonsmithError as error:
                errors.append(error)
                return

    with Client(url) as client:
        callers = [threading.Thread(target=call, args=(number, client)) for number in range(_CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            stop.set()
            for caller in callers:
                caller.join()
    if errors:
        raise errors[0]


def _text(turn: int, texts: Sequence[str]) -> str:
    text = texts[turn % len(texts)]
    if turn % _REPEATED == 0:
        return text
    return _ODD.get(turn % _REPEATED**2, f"{text} {turn}")
