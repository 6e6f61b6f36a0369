from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded
from tritonsmith_build import infer
from tritonsmith_build.drawing import draw_answer
from tritonsmith_build.errors import SmithError

GREY = Image.new("RGB", (200, 100), (128, 128, 128))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(encoded(GREY, "PNG"))
    return tmp_path / "photo.png"


def drawn(photo: Path, answer: Any) -> np.ndarray[Any, Any]:
    """What the drawing changed, pixel by pixel."""
    image = Image.open(draw_answer(photo, answer, photo.parent / "found" / "photo.png"))
    assert image.size == GREY.size
    return (np.asarray(image) != 128).any(axis=2)


def box(label: str, *corners: int) -> dict[str, Any]:
    return {"score": 0.9, "label": label, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))}


def test_a_box_is_outlined_and_named_and_its_inside_stays(photo: Path) -> None:
    changed = drawn(photo, [box("cat", 20, 10, 180, 90)])
    assert changed[10, 20:181].all()
    assert changed[10:91, 180].all()
    assert not changed[40:85, 60:170].any()
    assert not changed[:8].any()


def test_boxes_beyond_the_edge_and_turned_round_are_drawn_as_far_as_they_go(photo: Path) -> None:
    assert drawn(photo, [box("cat", -50, -50, 500, 500), box("dog", 90, 80, 60, 50)])[50:81, 60].all()


def test_masks_have_a_colour_a_label(photo: Path) -> None:
    half = np.zeros((100, 200), np.uint8)
    half[:, :100] = 255
    parts = {"sky": half, "sea": 255 - half}
    answer = [{"score": None, "label": name, "mask": Image.fromarray(mask)} for name, mask in parts.items()]
    changed = drawn(photo, answer)
    assert changed.all()
    image = np.asarray(Image.open(photo.parent / "found" / "photo.png"))
    assert len(np.unique(image[60:, :].reshape(-1, 3), axis=0)) == 2


def test_an_image_in_which_nothing_was_found_stays_as_it_was(photo: Path) -> None:
    assert not drawn(photo, []).any()


@pytest.mark.parametrize("answer", [[{"label": "cat", "score": 0.5}], np.zeros(3)], ids=["classes", "vector"])
def test_other_answers_cannot_be_drawn(photo: Path, answer: Any) -> None:
    with pytest.raises(SmithError, match="--save: only boxes and masks can be drawn; leave it out"):
        draw_answer(photo, answer, photo.parent / "found.png")


def test_a_folder_that_cannot_be_written_is_said(photo: Path) -> None:
    with pytest.raises(SmithError, match=r"photo\.png/x\.png: cannot be written \((File exists|Not a directory)\)"):
        draw_answer(photo, [], photo / "x.png")


def test_files_of_the_same_name_are_drawn_apart() -> None:
    assert doctest.testmod(infer).failed == 0
