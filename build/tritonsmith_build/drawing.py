"""What was found in an image, drawn over it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tritonsmith_build.errors import SmithError

_OPACITY = 0.5
_STEP = 0.618  # of the colour wheel: the golden section never comes back to a hue it has had


def draw_answer(file: Path, answer: Any, target: Path) -> Path:
    """Draw boxes or masks over the image in ``file``, and put it into ``target``, a PNG file; ``target``.

    Raises SmithError for answers that are neither, and where ``target`` cannot be written.
    """
    if not (isinstance(answer, list) and all("box" in one or "mask" in one for one in answer)):
        raise SmithError("only boxes and masks can be drawn", where="--save", fix="leave it out")
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    colours = _colours([one["label"] for one in answer])
    for one in answer:
        if "mask" in one:
            tint = Image.blend(image, Image.new("RGB", image.size, colours[one["label"]]), _OPACITY)
            image.paste(tint, mask=one["mask"])
    _outline(image, [one for one in answer if "box" in one], colours)
    _name(image, [one for one in answer if "mask" in one], colours)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target)
    except OSError as error:
        raise SmithError(f"cannot be written ({error.strerror or error})", where=target, fix="give another --save") from None
    return target


def _colours(labels: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """A colour each, far from those of its neighbours."""
    made = {}
    for number, label in enumerate(dict.fromkeys(labels)):
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(number * _STEP % 1, 0.85, 0.95))
        made[label] = (red, green, blue)
    return made


def _font(image: Image.Image) -> Any:
    return ImageFont.load_default(max(11, min(image.size) / 28))


def _outline(image: Image.Image, boxes: Sequence[Mapping[str, Any]], colours: Mapping[str, tuple[int, int, int]]) -> None:
    canvas, font, width = ImageDraw.Draw(image), _font(image), max(2, min(image.size) // 200)
    for one in boxes:
        box, colour = one["box"], colours[one["label"]]
        left, right = sorted((box["xmin"], box["xmax"]))
        top, bottom = sorted((box["ymin"], box["ymax"]))
        canvas.rectangle((left, top, right, bottom), outline=colour, width=width)
        _write(canvas, (max(left, 0), max(top, 0)), f"{one['label']} {one['score']:.2f}", colour, font)


def _name(image: Image.Image, masks: Sequence[Mapping[str, Any]], colours: Mapping[str, tuple[int, int, int]]) -> None:
    """A legend in the corner: parts of an image may be anywhere in it."""
    canvas, font, top = ImageDraw.Draw(image), _font(image), 4.0
    for one in masks:
        top = _write(canvas, (4, top), one["label"], colours[one["label"]], font) + 2


def _write(canvas: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: tuple[int, int, int], font: Any) -> float:
    """On a ground of the colour; where it ends below."""
    left, top, right, bottom = canvas.textbbox(at, text, font=font)
    canvas.rectangle((left, top, right + 4, bottom + 2), fill=colour)
    red, green, blue = colour
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 150
    canvas.text((at[0] + 2, at[1]), text, fill="black" if bright else "white", font=font)
    return bottom + 2
