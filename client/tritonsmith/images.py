"""Images as callers have them, to requests, and maps of an image's parts back to masks. Pillow is needed for neither files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonsmith.calls import Arrays, Call, column
from tritonsmith.errors import InvalidInputError, TritonsmithError
from tritonsmith.files import content

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS = "the bytes or the path of a JPEG, PNG or WebP file, a PIL image, or a uint8 array [height, width, 3]"


def encode_images(images: Any, max_batch_size: int) -> Call:
    """An image or a list of images as requests ``IMAGE`` BYTES ``[1, 1]``: one a request, the server makes batches of them.

    Files go as they are; PIL images and arrays as PNG, which loses nothing. InvalidInputError says which item is none.
    """
    single = not (isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4))
    items = [images] if single else list(images)
    if not items:
        raise InvalidInputError("no image was given; give at least one")
    files = [_file(index, item) for index, item in enumerate(items)]
    return Call(tuple({"IMAGE": column([file])} for file in files), tuple(range(len(files))), single)


def _file(index: int, item: object) -> bytes:
    match item:
        case bytes() | bytearray() | memoryview() | str() | Path():
            return content(index, item, KINDS)
        case np.ndarray():
            return _png(_drawn(index, item))
    if callable(getattr(item, "save", None)) and hasattr(item, "mode"):
        return _png(item)
    raise InvalidInputError(f"an image is needed ({KINDS}), not {type(item).__name__}", item=index)


def _drawn(index: int, array: Any) -> Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        shape = f"{array.dtype} {list(array.shape)}"
        raise InvalidInputError(f"an array of an image is uint8 [height, width, 3], not {shape}", item=index)
    made: Image = _pillow().fromarray(array)
    return made


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise TritonsmithError("Pillow is not installed; run: pip install 'tritonsmith[images]'") from None


def decode_boxes(outputs: Sequence[Arrays], call: Call) -> Any:
    """``BOXES``: a list of ``score``, ``label`` and ``box`` (``xmin``, ``ymin``, ``xmax``, ``ymax``) an image."""
    found = [json.loads(row[0]) for output in outputs for row in output["BOXES"]]
    return found[0] if call.single else found


def decode_segments(outputs: Sequence[Arrays], call: Call) -> Any:
    """``MAP`` and ``SEGMENTS``: a list of ``score`` (None), ``label`` and ``mask`` (a PIL image, 0 and 255) an image."""
    rows = ((output["MAP"][at, 0], output["SEGMENTS"][at, 0]) for output in outputs for at in range(len(output["MAP"])))
    found = [list(_segments(*row)) for row in rows]
    return found[0] if call.single else found


def _segments(png: bytes, said: bytes) -> Iterator[dict[str, Any]]:
    pillow = _pillow()
    values = np.asarray(pillow.open(io.BytesIO(png)))
    for part in json.loads(said):
        mask = pillow.fromarray(np.where(values == part["value"], 255, 0).astype(np.uint8))
        yield {"score": None, "label": part["label"], "mask": mask}
