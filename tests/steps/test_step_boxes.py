from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_images import LABELS
from transformers import DetrImageProcessorPil
from tritonsmith_steps.boxes import Boxes, BoxSettings

CORNERS = ("xmin", "ymin", "xmax", "ymax")
PLACES, WIDTH = 6, len(LABELS) + 1 + 4
found = hnp.arrays(np.float32, (2, PLACES, WIDTH), elements=st.floats(-4, 4, width=32))
sizes = hnp.arrays(np.int32, (2, 2), elements=st.integers(1, 5000))


def request(detections: Any, size: Any, *thresholds: float) -> dict[str, Any]:
    tensors = {"detections": np.asarray(detections, np.float32), "SIZE": np.asarray(size, np.int32)}
    return tensors | ({"THRESHOLD": np.array([[value] for value in thresholds], np.float32)} if thresholds else {})


def boxes(*requests: dict[str, Any]) -> list[Any]:
    results = Boxes(BoxSettings(LABELS))(requests)
    return [r if isinstance(r, ValueError) else [json.loads(row[0]) for row in r["BOXES"]] for r in results]


def transformers_boxes(detections: Any, size: Any, threshold: float) -> list[list[dict[str, Any]]]:
    output: Any = SimpleNamespace(
        logits=torch.from_numpy(detections[..., :-4]), pred_boxes=torch.from_numpy(detections[..., -4:])
    )
    rows = DetrImageProcessorPil().post_process_object_detection(output, threshold, torch.from_numpy(size))
    return [
        [
            {"score": score.item(), "label": LABELS[label], "box": dict(zip(CORNERS, box.int().tolist(), strict=True))}
            for score, label, box in zip(row["scores"], row["labels"], row["boxes"], strict=True)
        ]
        for row in rows
    ]  # fmt: skip


@given(found, sizes, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_boxes_are_those_of_transformers(detections: Any, size: Any, threshold: float) -> None:
    (made,) = boxes(request(detections, size, threshold, threshold))
    expected = transformers_boxes(detections, size, threshold)
    for ours, theirs in zip(made, expected, strict=True):
        near = [one for one in theirs if abs(one["score"] - threshold) > 1e-6]
        kept = [one for one in ours if abs(one["score"] - threshold) > 1e-6]
        assert len(kept) == len(near)
        for one, other in zip(kept, near, strict=True):
            assert one["score"] == pytest.approx(other["score"], rel=1e-5)
            assert list(one["box"].values()) == pytest.approx(list(other["box"].values()), abs=1)


def test_each_item_has_its_own_threshold_and_a_half_is_usual() -> None:
    sure, unsure = np.zeros((2, 1, WIDTH), np.float32)
    sure[0, 1], unsure[0, 2] = 5, 1  # 0.97 and 0.35
    two = np.stack([sure, unsure])
    usual, each = boxes(request(two, [[10, 10]] * 2), request(two, [[10, 10]] * 2, 0.99, 0.3))
    assert [[box["label"] for box in row] for row in usual] == [["Hund"], []]
    assert [[box["label"] for box in row] for row in each] == [[], ["鳥"]]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_none_is_its_own_requests_error(threshold: float) -> None:
    given = np.zeros((1, PLACES, WIDTH))
    bad, good = boxes(request(given, [[5, 5]], threshold), request(given, [[5, 5]]))
    assert str(bad) == f"item 0: threshold is {threshold:g}; give 0 to 1"
    assert good == [[]]
