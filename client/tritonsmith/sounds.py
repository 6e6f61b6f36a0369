"""Recordings as callers have them, to requests, and what was heard in them back."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith.calls import Arrays, Call, column
from tritonsmith.errors import InvalidInputError
from tritonsmith.files import content

KINDS = "the bytes or the path of a WAV or FLAC file, or a dictionary of array and sampling_rate"
_FLOATS = 3
"""WAV's number for samples that are IEEE floats."""
_MOST = 2**29
"""Samples that a WAV file can count in bytes."""


def encode_sounds(recordings: Any, max_batch_size: int) -> Call:
    """A recording or a list of them as requests ``AUDIO`` BYTES ``[1, 1]``: one a request, the server makes batches of them.

    Files go as they are; an array ``[samples]`` or ``[channels, samples]`` as WAV, floats as floats. InvalidInputError says
    which item is none.
    """
    single = not isinstance(recordings, list | tuple)
    items = [recordings] if single else list(recordings)
    if not items:
        raise InvalidInputError("no recording was given; give at least one")
    files = [_file(index, item) for index, item in enumerate(items)]
    return Call(tuple({"AUDIO": column([file])} for file in files), tuple(range(len(files))), single)


def _file(index: int, item: object) -> bytes:
    match item:
        case bytes() | bytearray() | memoryview() | str() | Path():
            return content(index, item, KINDS)
        case Mapping():
            return _wav(*_array_and_rate(index, item))
        case np.ndarray():
            fix = "give {'array': …, 'sampling_rate': 16000}"
            raise InvalidInputError(f"an array of sound needs its rate; {fix}", item=index)
    raise InvalidInputError(f"a recording is needed ({KINDS}), not {type(item).__name__}", item=index)


def _array_and_rate(index: int, item: Mapping[Any, Any]) -> tuple[NDArray[Any], int]:
    """As transformers' pipelines take them, under either name."""
    array, rate = item.get("array", item.get("raw")), item.get("sampling_rate")
    if array is None or rate is None:
        keys = ", ".join(map(repr, item)) or "none"
        what = "a recording is {'array': …, 'sampling_rate': 16000}"
        raise InvalidInputError(f"{what}, not the keys {keys}", item=index)
    values = np.asarray(array)
    if values.dtype.kind != "f" or values.ndim not in (1, 2) or values.size > _MOST:
        what = f"an array of sound is float [samples] or [channels, samples], not {values.dtype} {list(values.shape)}"
        raise InvalidInputError(what, item=index)
    if not isinstance(rate, int | np.integer) or not 0 < rate < 2**31:
        raise InvalidInputError(f"a sampling_rate of {rate!r} is none; give samples a second", item=index)
    return values, int(rate)


def _wav(array: NDArray[Any], rate: int) -> bytes:
    rows = np.atleast_2d(array.astype("<f4", copy=False)).T
    samples, frame = np.ascontiguousarray(rows).tobytes(), 4 * rows.shape[1]
    form = struct.pack("<HHIIHHH", _FLOATS, rows.shape[1], rate, rate * frame % 2**32, frame % 2**16, 32, 0)
    chunks = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"fact", struct.pack("<I", len(rows))) + _chunk(b"data", samples)
    return _chunk(b"RIFF", chunks)


def _chunk(kind: bytes, inside: bytes) -> bytes:
    return kind + struct.pack("<I", len(inside)) + inside


def decode_transcripts(outputs: Sequence[Arrays], call: Call, *, return_timestamps: str | None = None) -> Any:
    """``TRANSCRIPT`` and ``CHUNKS``: a dictionary of ``text``, and of ``chunks`` where times are asked for, a recording."""
    found = []
    for output in outputs:
        for (text,), (chunks,) in zip(output["TRANSCRIPT"], output["CHUNKS"], strict=True):
            timed = [{**chunk, "timestamp": tuple(chunk["timestamp"])} for chunk in json.loads(chunks)]
            found.append({"text": text.decode(), **({"chunks": timed} if return_timestamps else {})})
    return found[0] if call.single else found
