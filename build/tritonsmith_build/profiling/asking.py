"""What a pipeline is asked while it is profiled: a person's own texts, images or recordings, or this package's."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from tritonsmith.calls import Arrays, column, encode_texts
from tritonsmith.sounds import encode_sounds

from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import examples_from_file
from tritonsmith_build.modalities.folders import files_in

_IMAGES = 32
_RECORDINGS = 16
_RATE = 16_000


def texts_for(data: Path | None) -> list[bytes]:
    """The texts of a file, UTF-8."""
    if data is not None:
        if not data.is_file():
            raise SmithError("no such file", where=data, fix="give --data a .txt with a text a line")
        return _encoded(examples_from_file(data).texts)
    with resources.as_file(resources.files("tritonsmith_build") / "data" / "gate.txt") as general:
        return _encoded(examples_from_file(general).texts)


def _encoded(texts: Sequence[str]) -> list[bytes]:
    values: list[bytes] = encode_texts(texts, len(texts)).requests[0]["TEXT"].ravel().tolist()
    return values


def images_for(data: Path | None) -> list[bytes]:
    """The image files of a folder; or drawn ones, as JPEG."""
    from tritonsmith_build.modalities.drawn import drawn
    from tritonsmith_build.modalities.images import SUFFIXES

    if data is None:
        return [_jpeg(drawn(seed)) for seed in range(_IMAGES)]
    return [file.read_bytes() for file in files_in(data, SUFFIXES, "image", option="--data")]


def recordings_for(data: Path | None) -> list[bytes]:
    """The recordings of a folder; or sounds made by chance, as WAV."""
    from tritonsmith_build.modalities.sounds import SUFFIXES
    from tritonsmith_build.modalities.voiced import voiced

    if data is not None:
        return [file.read_bytes() for file in files_in(data, SUFFIXES, "recording", option="--data")]
    sounds = [{"array": voiced(seed, _RATE), "sampling_rate": _RATE} for seed in range(_RECORDINGS)]
    return [request["AUDIO"][0, 0] for request in encode_sounds(sounds, 1).requests]


def _jpeg(image: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)  # type: ignore[attr-defined]
    return file.getvalue()


@dataclass(frozen=True)
class Asked:
    """What pipelines that need one tensor are asked."""

    noun: str
    """What one item is called."""
    items: Callable[[Path | None], list[bytes]]
    """Raises SmithError where there is none."""

    def several(self, count: int) -> str:
        """``1 text``, ``2 texts``."""
        return f"1 {self.noun}" if count == 1 else f"{count} {self.noun}s"


ASKED: Mapping[str, Asked] = {
    "TEXT": Asked("text", texts_for),
    "IMAGE": Asked("image", images_for),
    "AUDIO": Asked("recording", recordings_for),
}
"""By the one tensor that a pipeline cannot do without."""


def requests_from(tensor: str, items: Sequence[bytes], batch: int) -> list[Arrays]:
    """Every item in its turn, ``batch`` to a request; the last request is filled up with the first ones."""
    whole = column(items)
    turns = [np.arange(start, start + batch) % len(items) for start in range(0, len(items), batch)]
    return [{tensor: whole[turn]} for turn in turns]
