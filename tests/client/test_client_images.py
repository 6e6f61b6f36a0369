from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tritonsmith import InvalidInputError, TritonsmithError
from tritonsmith.calls import Call
from tritonsmith.codec import ModelInfo, encoded
from tritonsmith.images import KINDS, decode_boxes, decode_segments, encode_images

ARRAY = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
IMAGE = Image.fromarray(ARRAY)


def sent(call: Call) -> list[Any]:
    """What each request has."""
    assert all(request["IMAGE"].shape == (1, 1) for request in call.requests)
    return [request["IMAGE"][0, 0] for request in call.requests]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, str, Path])
def test_a_file_goes_as_it_is(tmp_path: Path, kind: Any) -> None:
    (tmp_path / "an image.jpg").write_bytes(b"\xff\xd8 whatever")
    given = kind(b"\xff\xd8 whatever") if kind not in (str, Path) else kind(tmp_path / "an image.jpg")
    call = encode_images(given, 8)
    assert sent(call) == [b"\xff\xd8 whatever"]
    assert call.single


@pytest.mark.parametrize(
    "image",
    [IMAGE, ARRAY, ARRAY[..., 0], np.dstack([ARRAY, ARRAY[..., :1]]), IMAGE.convert("L"), IMAGE.convert("P")],
    ids=["pil", "array", "grey array", "array with alpha", "grey", "palette"],
)
def test_an_image_in_memory_loses_nothing(image: Any) -> None:
    (file,) = sent(encode_images(image, 8))
    back = Image.open(io.BytesIO(file))
    assert back.format == "PNG"
    wanted = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else Image.fromarray(image).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(back.convert("RGB")), wanted)


@pytest.mark.parametrize("images", [[b"a", b"b"], (b"a", b"b"), np.stack([ARRAY, ARRAY])], ids=["list", "tuple", "array"])
def test_several_images_go_one_a_request(images: Any) -> None:
    call = encode_images(images, 8)
    assert len(sent(call)) == 2
    assert (call.offsets, call.single) == ((0, 1), False)


@pytest.mark.parametrize(
    ("images", "item", "reason"),
    [
        ([], None, "no image was given; give at least one"),
        ([b"a", 5], 1, f"an image is needed ({KINDS}), not int"),
        ([b"a", None], 1, f"an image is needed ({KINDS}), not NoneType"),
        (["gone.jpg"], 0, f"gone.jpg: No such file or directory; give {KINDS}"),
        (["https://example.org/a.jpg"], 0, f"https://example.org/a.jpg: No such file or directory; give {KINDS}"),
        (["a\0b"], 0, f"a\0b: embedded null byte; give {KINDS}"),
        (ARRAY.astype(np.float32), 0, "an array of an image is uint8 [height, width, 3], not float32 [5, 7, 3]"),
        (ARRAY.transpose(2, 0, 1), 0, "an array of an image is uint8 [height, width, 3], not uint8 [3, 5, 7]"),
    ],
    ids=["none", "number", "None", "no file", "url", "no path", "floats", "channels first"],
)
def test_what_is_no_image_is_refused_by_its_place(images: Any, item: int | None, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_images(images, 8)
    assert (caught.value.reason, caught.value.item) == (reason, item)


def test_files_need_no_pillow_and_other_images_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert sent(encode_images(b"a file", 8)) == [b"a file"]
    with pytest.raises(TritonsmithError, match=r"Pillow is not installed; run: pip install 'tritonsmith\[images\]'"):
        encode_images(ARRAY, 8)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "0.5", None, True])
def test_a_threshold_is_a_share(threshold: Any) -> None:
    info = ModelInfo("finder", "object-detection", 8)
    with pytest.raises(InvalidInputError, match=f"threshold cannot be {threshold!r}; give a number from 0 to 1"):
        encoded(info, b"a", {"threshold": threshold})
    (request,) = encoded(info, b"a", {"threshold": 0.25}).requests
    assert request["THRESHOLD"].dtype == np.float32
    assert request["THRESHOLD"].tolist() == [[0.25]]


BOX = {"score": 0.5, "label": "cat", "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}


def outputs(**rows: Any) -> dict[str, Any]:
    return {name: np.array([[value]], dtype=np.object_) for name, value in rows.items()}


def test_a_single_image_has_its_list_of_boxes_and_a_list_a_list_of_them() -> None:
    answers = [outputs(BOXES=json.dumps([BOX]).encode()), outputs(BOXES=b"[]")]
    assert decode_boxes(answers[:1], encode_images(b"a", 8)) == [BOX]
    assert decode_boxes(answers, encode_images([b"a", b"b"], 8)) == [[BOX], []]


def test_a_map_becomes_a_mask_a_label() -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[300, 7, 7]], np.uint16)).save(file, "PNG")
    said = json.dumps([{"value": 7, "label": "sky"}, {"value": 300, "label": "sea"}]).encode()
    sky, sea = decode_segments([outputs(MAP=file.getvalue(), SEGMENTS=said)], encode_images(b"a", 8))
    assert (sky["label"], sky["score"], sea["label"], sea["score"]) == ("sky", None, "sea", None)
    assert [np.asarray(one["mask"]).tolist() for one in (sky, sea)] == [[[0, 255, 255]], [[255, 0, 0]]]
    assert {one["mask"].mode for one in (sky, sea)} == {"L"}
