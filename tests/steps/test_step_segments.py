from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tritonsmith_steps import segments
from tritonsmith_steps.segments import Segments, SegmentSettings, likeliest

few = st.integers(1, 9)


@settings(deadline=None)
@given(few, few, st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000))
def test_pixels_belong_where_torch_puts_them(rows: int, columns: int, height: int, width: int, seed: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((5, rows, columns)).astype(np.float32)
    wide = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], (height, width), mode="bilinear", align_corners=False
    )
    expected = wide[0].argmax(dim=0).numpy()
    best = wide[0].sort(dim=0).values
    clear = (best[-1] - best[-2]).numpy() > 1e-5
    np.testing.assert_array_equal(likeliest(logits, height, width)[clear], expected[clear])


def test_a_large_image_is_resized_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(3).standard_normal((4, 16, 12)).astype(np.float32)
    whole = likeliest(logits, 200, 100)
    monkeypatch.setattr(segments, "_VALUES", 1300)
    np.testing.assert_array_equal(likeliest(logits, 200, 100), whole)


def answered(labels: list[str], logits: Any, sizes: Any) -> tuple[list[Any], list[Any]]:
    (result,) = Segments(SegmentSettings(labels))([{"pixel_logits": logits, "SIZE": np.array(sizes, np.int32)}])
    assert isinstance(result, dict)
    maps = [np.asarray(Image.open(io.BytesIO(row[0]))) for row in result["MAP"]]
    return maps, [json.loads(row[0]) for row in result["SEGMENTS"]]


def test_a_map_has_the_images_size_and_names_what_occurs() -> None:
    logits = np.zeros((2, 3, 2, 2), np.float32)
    logits[0, 2, :, 0] = logits[0, 1, :, 1] = logits[1, 0] = 9
    maps, found = answered(["sky", "sea", "日"], logits, [[4, 6], [3, 5]])
    assert [one.shape for one in maps] == [(4, 6), (3, 5)]
    assert maps[0][0].tolist() == [2, 2, 2, 1, 1, 1]
    assert found == [[{"value": 1, "label": "sea"}, {"value": 2, "label": "日"}], [{"value": 0, "label": "sky"}]]


def test_more_classes_than_a_byte_counts_have_two_bytes_a_pixel() -> None:
    logits = np.zeros((1, 400, 1, 2), np.float32)
    logits[0, 399, 0, 0] = logits[0, 7, 0, 1] = 5
    (one,), (found,) = answered([f"L{at}" for at in range(400)], logits, [[1, 2]])
    assert one.tolist() == [[399, 7]]
    assert found == [{"value": 7, "label": "L7"}, {"value": 399, "label": "L399"}]
