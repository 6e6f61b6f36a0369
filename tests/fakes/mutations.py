"""Requests that nearly are right: whole ones, changed in their meaning or in their bytes."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD_NUMBERS = st.sampled_from([-1, 0, 2, 33, 2**31, 2**32, 2**63, 2**64, -(2**63), 1.5, 1e308])
LONG = ("ẞ" * 300, "a" * 100_000)
ODD_TEXTS = st.sampled_from(["", "\x00", "TEXT", "text", "BYTES", "FP32", "INT64", "../../etc/passwd", "%s%n", *LONG])
ODD = st.one_of(
    st.none(), st.booleans(), ODD_NUMBERS, ODD_TEXTS, st.builds(list), st.builds(dict), st.builds(lambda: [[["deep"]]])
)


def packed(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


def whole(text: str = "fine") -> dict[str, Any]:
    """A request to a pipeline of texts, in JSON."""
    about = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    return {"id": "1", "inputs": [about], "outputs": [{"name": "LABEL"}], "parameters": {"priority": 0}}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything inside of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@st.composite
def meanings(draw: st.DrawFn, start: Callable[[], dict[str, Any]] = whole) -> dict[str, Any]:
    """A request of which up to three parts are something else, missing, or there twice."""
    request = copy.deepcopy(start())
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(request)[1:] or [()]))
        if not path:
            break
        holder: Any = request
        for key in path[:-1]:
            holder = holder[key]
        match draw(st.sampled_from(["change", "drop", "double", "rename"])):
            case "change":
                holder[path[-1]] = draw(ODD)
            case "drop":
                del holder[path[-1]]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[path[-1]]))
            case _ if isinstance(holder, dict):
                holder[draw(ODD_TEXTS)] = holder.pop(path[-1])
    return request


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some are others, missing or too many."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(made) - 1)))
        match draw(st.sampled_from(["change", "cut", "insert", "drop"])):
            case "change" if made:
                made[place] = draw(st.integers(0, 255))
            case "cut":
                del made[place:]
            case "drop":
                del made[place : place + draw(st.integers(1, 40))]
            case _:
                made[place:place] = draw(st.binary(min_size=1, max_size=40))
    return bytes(made)


def binary(text: str = "fine") -> tuple[bytes, bytes]:
    """A request whose text travels behind its JSON: both parts."""
    raw = packed(text)
    about = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    return json.dumps({"inputs": [about], "parameters": {"binary_data_output": True}}).encode(), raw
