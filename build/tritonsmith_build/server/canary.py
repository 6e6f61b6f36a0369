"""A question to one step, and the answer that its build had: a step that answers otherwise is broken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.wire import Tensor, packed

DTYPES: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "INT8": "<i1",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""NumPy's names for Triton's types, texts apart."""
_FLOATS = ("FP16", "FP32", "FP64")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 33
"""Bytes: the signature, and the chunk with width, height and kind. How the rest is packed differs between libraries."""
_NEAR = 1e-3


@dataclass(frozen=True)
class Canary:
    """What a step is asked, and what it must answer.

    It is asked past the response cache, which belongs to the ensemble, and is the same for every probe: what a step answers
    depends on its input alone.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tolerance: float
    """How far a number may be off, in its own units."""

    @classmethod
    def of(cls, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], tolerance: float = _NEAR) -> Canary:
        """From a step's arrays; texts are arrays of bytes."""
        asked, answered = (tuple(_tensor(name, array) for name, array in arrays.items()) for arrays in (inputs, outputs))
        return cls(asked, answered, tolerance)

    @classmethod
    def read(cls, file: Path) -> Canary:
        """Raises SmithError where the file is not what ``text`` wrote."""
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            inputs, outputs = (tuple(map(Tensor.from_json, kept[side])) for side in ("inputs", "outputs"))
            return cls(inputs, outputs, kept["tolerance"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SmithError(f"cannot be read ({error})", where=file, fix="build the pipeline again") from None

    def text(self) -> str:
        """The file's content."""
        inputs, outputs = ([tensor.as_json() for tensor in side] for side in (self.inputs, self.outputs))
        return json.dumps({"inputs": inputs, "outputs": outputs, "tolerance": self.tolerance}, indent=2) + "\n"

    def differs(self, answer: Sequence[Tensor]) -> str | None:
        """What of an answer is not as it was when built, None where all is."""
        given = {tensor.name: tensor for tensor in answer}
        problems = (_problem(expected, given.get(expected.name), self.tolerance) for expected in self.outputs)
        return next(filter(None, problems), None)


def canary_file(target: str) -> str:
    """Its name in a step's version folder; what a step is given differs between targets."""
    return f"canary.{target}.json"


def _tensor(name: str, array: NDArray[Any]) -> Tensor:
    if array.dtype == np.object_:
        return Tensor(name, "BYTES", array.shape, packed(array.ravel()))
    kind = array.dtype.newbyteorder("<")
    datatype = next(triton for triton, numpy in DTYPES.items() if np.dtype(numpy) == kind)
    return Tensor(name, datatype, array.shape, array.astype(kind).tobytes())


def _problem(expected: Tensor, given: Tensor | None, tolerance: float) -> str | None:
    name = expected.name
    if given is None:
        return f"gives no {name}"
    if given.datatype != expected.datatype:
        return f"gives {name} as {given.datatype} instead of {expected.datatype}"
    if given.shape != expected.shape and not _padded(expected, given):
        return f"gives {name} in the shape {list(given.shape)} instead of {list(expected.shape)}"
    alike = _FAMILIES.get(expected.datatype, _same)
    return None if alike(expected, given, tolerance) else f"gives other values of {name} than when it was built"


def _padded(expected: Tensor, given: Tensor) -> bool:
    """Whether it only is longer: an engine fills a recording up to the longest of its batch."""
    if expected.datatype not in _FLOATS or len(expected.shape) != 3 or len(given.shape) != 3:
        return False
    rows, length, width = expected.shape
    return given.shape == (rows, max(length, given.shape[1]), width)


def _same(expected: Tensor, given: Tensor, tolerance: float) -> bool:
    return expected.raw == given.raw


def _close(expected: Tensor, given: Tensor, tolerance: float) -> bool:
    kind = DTYPES[expected.datatype]
    was, is_now = (np.frombuffer(tensor.raw, kind).reshape(tensor.shape) for tensor in (expected, given))
    if was.shape != is_now.shape:
        is_now = is_now[:, : was.shape[1]]
    return bool(np.allclose(is_now, was, rtol=0, atol=tolerance, equal_nan=True))


def _texts(expected: Tensor, given: Tensor, tolerance: float) -> bool:
    return all(_text(was, is_now) for was, is_now in zip(expected.texts, given.texts, strict=True))


def _text(was: bytes, is_now: bytes) -> bool:
    """Numbers inside of JSON may be rounded otherwise, a picture packed otherwise."""
    if was == is_now:
        return True
    if was.startswith(_PNG):
        return is_now[:_PNG_HEADER] == was[:_PNG_HEADER]
    try:
        return _alike(json.loads(was), json.loads(is_now))
    except ValueError:
        return False


def _alike(was: Any, is_now: Any) -> bool:
    if isinstance(was, float) and isinstance(is_now, float):
        return math.isclose(was, is_now, rel_tol=_NEAR, abs_tol=_NEAR)
    if isinstance(was, list) and isinstance(is_now, list):
        return len(was) == len(is_now) and all(map(_alike, was, is_now))
    if isinstance(was, dict) and isinstance(is_now, dict):
        return was.keys() == is_now.keys() and all(_alike(value, is_now[key]) for key, value in was.items())
    return bool(was == is_now)


_FAMILIES: Mapping[str, Callable[[Tensor, Tensor, float], bool]] = {"BYTES": _texts, **dict.fromkeys(_FLOATS, _close)}
