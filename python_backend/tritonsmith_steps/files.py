"""Items that are files: each decoded by itself, as many at once as there are cores, and put together request by request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from tritonsmith_steps.arrays import Arrays, Result, spans
from tritonsmith_steps.cores import cores

Decoded = TypeVar("Decoded")


class FileReader(Generic[Decoded]):
    """A tensor of files, bytes ``[rows, 1]``, to what ``together`` makes of a request's decoded ones.

    ``decode`` raises ValueError for a file that cannot be used; ``noun`` is what one is called.
    """

    def __init__(
        self, tensor: str, noun: str, decode: Callable[[bytes], Decoded], together: Callable[[Sequence[Decoded]], Result]
    ) -> None:
        self._tensor, self._noun, self._decode, self._together = tensor, noun, decode, together
        # Decoders let go of the interpreter.
        self._pool = ThreadPoolExecutor(cores())

    def __call__(self, requests: Sequence[Arrays]) -> list[Result]:
        """One result a request, in order; a bad file is its own request's error."""
        files = [request[self._tensor].ravel().tolist() for request in requests]
        made = list(self._pool.map(self._decoded, (file for row in files for file in row)))
        return [self._result(made[start:stop]) for start, stop in spans([len(row) for row in files])]

    def _decoded(self, file: bytes) -> Decoded | ValueError:
        try:
            return self._decode(file)
        except ValueError as error:
            return error

    def _result(self, made: Sequence[Decoded | ValueError]) -> Result:
        if not made:
            return ValueError(f"no {self._noun} was given; give at least one")
        good: list[Decoded] = []
        for item, one in enumerate(made):
            if isinstance(one, ValueError):
                return ValueError(f"item {item}: {one}")
            good.append(one)
        return self._together(good)
