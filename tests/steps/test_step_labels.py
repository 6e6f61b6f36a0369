"""Labels to texts, their vectors to an image's row, and cosines to scores as a CLIP makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tritonsmith_steps.compare import Compare, CompareSettings
from tritonsmith_steps.items import ITEM
from tritonsmith_steps.labels import Labels, LabelSettings
from tritonsmith_steps.stack import Stack

STEP = Labels(LabelSettings(max_bytes=40, max_labels=6))


def request(*rows: list[str | bytes], template: list[str] | None = None) -> dict[str, Any]:
    table = np.array(
        [[label if isinstance(label, bytes) else label.encode() for label in row] for row in rows], dtype=np.object_
    )
    asked = {"CANDIDATE_LABELS": table.reshape(len(rows), -1)}
    if template is not None:
        asked["HYPOTHESIS_TEMPLATE"] = np.array([[one.encode()] for one in template], dtype=np.object_)
    return asked


def test_each_label_is_put_into_the_template_and_an_images_first_one_is_marked() -> None:
    plain, given = STEP([request(["a cat", "犬"]), request(["x", "y"], ["z", "w"], template=["{} seen", "no {}!"])])
    assert isinstance(plain, dict)
    assert isinstance(given, dict)
    assert [text.decode() for text in plain["TEXT"][:, 0]] == ["This is a photo of a cat.", "This is a photo of 犬."]
    assert [text.decode() for text in given["TEXT"][:, 0]] == ["x seen", "y seen", "no z!", "no w!"]
    assert [bool(mark) for mark in given[ITEM][:, 0]] == [True, False, True, False]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(["a"] * 7), "7 labels in a request; at most 6 are taken, ask for fewer"),
        (request(["a", "b"], ["c", " "]), "item 1: the label is empty; leave it out"),
        (request(["a", b"\xff"]), "item 0: not UTF-8 at byte 0; encode the label as UTF-8"),
        (request(["a", "b" * 41]), "item 0: 41 bytes of label; at most 40 are taken, shorten or split it"),
        (request([]), "no label was given; give at least one"),
        (
            request(["a"], template=["none"]),
            "item 0: hypothesis_template 'none' must have one place for a label; write {} there",
        ),
        (
            request(["a"], template=["{0.__class__}"]),
            "item 0: hypothesis_template '{0.__class__}' must have one place for a label; write {} there",
        ),
    ],
    ids=["many", "empty", "bytes", "long", "none", "template", "attribute"],
)
def test_what_cannot_be_used_is_its_own_requests_error(asked: dict[str, Any], reason: str) -> None:
    bad, good = STEP([asked, request(["a"])])
    assert str(bad) == reason
    assert isinstance(good, dict)


def test_vectors_of_labels_become_a_row_an_image() -> None:
    marks = np.array([[b"{}"], [b""], [b"{}"], [b""]], dtype=np.object_)
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    (stacked,) = Stack()([{"LABEL_VECTOR": vectors, ITEM: marks}])
    assert isinstance(stacked, dict)
    np.testing.assert_array_equal(stacked["LABEL_VECTORS"], vectors.reshape(2, 2, 3))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_are_those_of_torch_likeliest_first(activation: Any) -> None:
    draw = np.random.default_rng(3)
    image, labels = draw.standard_normal((2, 5)).astype(np.float32), draw.standard_normal((2, 4, 5)).astype(np.float32)
    names = np.array([[b"a", b"b", b"c", b"d"]] * 2, dtype=np.object_)
    step = Compare(CompareSettings(scale=7.5, bias=-0.5, activation=activation))
    (answer,) = step([{"IMAGE_VECTOR": image, "LABEL_VECTORS": labels, "CANDIDATE_LABELS": names}])
    assert isinstance(answer, dict)
    cosines = torch.nn.functional.cosine_similarity(torch.from_numpy(image)[:, None], torch.from_numpy(labels), dim=-1)
    logits = 7.5 * cosines - 0.5
    expected, order = (logits.softmax(-1) if activation == "softmax" else logits.sigmoid()).sort(descending=True)
    np.testing.assert_allclose(answer["SCORE"], expected.numpy(), atol=1e-6)
    assert answer["LABEL"].tolist() == np.take_along_axis(names, order.numpy(), axis=1).tolist()


def test_settings_come_from_the_version_folder(tmp_path: Path) -> None:
    (tmp_path / "step.json").write_text(json.dumps({"max_bytes": 9, "max_labels": 1, "template": "<{}>"}))
    (texts,) = Labels.load(tmp_path, {}, lambda name, amount: None)([request(["a"])])
    assert isinstance(texts, dict)
    assert texts["TEXT"].tolist() == [[b"<a>"]]
