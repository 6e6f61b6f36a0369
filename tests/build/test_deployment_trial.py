"""What two versions are asked before a switch, and when their answers count as the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_transport import FakeTransport
from tritonsmith import Client
from tritonsmith.codec import TASKS, ModelInfo, encoded
from tritonsmith_build.deployment.agreement import alike
from tritonsmith_build.deployment.items import items_for, options_for
from tritonsmith_build.deployment.shadow import compare
from tritonsmith_build.errors import SmithError


def classes(*names: str, score: float = 0.5) -> Any:
    return [{"label": name, "score": score} for name in names]


def entity(name: str, start: int, end: int) -> Any:
    return {"entity_group": name, "score": 0.9, "word": "x", "start": start, "end": end}


CASES: dict[str, tuple[Any, Any, Any]] = {
    "text-classification": (classes("A", "B"), classes("A", "B", score=0.9), classes("B", "A")),
    "image-classification": (classes("A", "B"), classes("A", "C"), classes("B", "A")),
    "audio-classification": (classes("A"), classes("A", score=0.55), classes("A", score=0.7)),
    "zero-shot-image-classification": (classes("A", "B"), classes("A", "B"), classes("B", "A")),
    "zero-shot-classification": ({"labels": ["A", "B"]}, {"labels": ["A", "B"]}, {"labels": ["B", "A"]}),
    "token-classification": ([entity("PER", 0, 3)], [entity("PER", 0, 3)], [entity("PER", 0, 4)]),
    "question-answering": ({"answer": "Ada", "score": 0.5}, {"answer": "Ada", "score": 0.4}, {"answer": "Eve", "score": 0.5}),
    "fill-mask": ([{"token_str": "a"}, {"token_str": "b"}], [{"token_str": "a"}], [{"token_str": "b"}]),
    "feature-extraction": (np.array([1.0, 0.0]), np.array([1.0, 0.1]), np.array([1.0, 0.2])),
    "image-feature-extraction": (np.array([1.0, 0.0]), np.array([2.0, 0.0]), np.array([-1.0, 0.0])),
    "text-ranking": ([{"corpus_id": 1}, {"corpus_id": 0}], [{"corpus_id": 1}], [{"corpus_id": 0}]),
    "object-detection": (classes("cat", "dog"), classes("dog", "cat"), classes("dog", "dog")),
    "image-segmentation": (classes("sky"), classes("sky"), classes("sky", "sea")),
    "automatic-speech-recognition": ({"text": "hello"}, {"text": "hello"}, {"text": "hallo"}),
}
"""By task: an answer, one that agrees with it, and one that does not."""


@pytest.mark.parametrize("task", TASKS)
def test_what_a_caller_would_read_off_decides(task: str) -> None:
    one, same, other = CASES[task]
    assert alike(task)(one, same)
    assert not alike(task)(one, other)


@pytest.mark.parametrize("several", [True, False])
def test_of_several_masks_each_counts(several: bool) -> None:
    other = [[{"token_str": "a"}], [{"token_str": "b" if several else "c"}]]
    assert alike("fill-mask")([[{"token_str": "a"}], [{"token_str": "b"}]], other) is several


MADE = [
    *(task for task, said in TASKS.items() if said.item == "text"),
    "zero-shot-image-classification",
    "audio-classification",
]
"""Tasks whose items are made in different ways: one of images and one of recordings stand for all."""


@pytest.mark.parametrize("task", MADE)
def test_every_task_has_something_to_be_asked(task: str) -> None:
    info = ModelInfo("any", task, 8)
    items = items_for(info, "[MASK]", None, 5)
    assert len(items) == 5
    for item in items:
        assert len(encoded(info, [item], options_for(info, {})).requests) == 1
    if task == "fill-mask":
        assert all("[MASK]" in item for item in items)


def test_own_items_are_lines(tmp_path: Path) -> None:
    questions = [{"question": f"Who {number}?", "context": "Ada."} for number in range(3)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    info = ModelInfo("any", "question-answering", 8)
    assert items_for(info, "", tmp_path / "questions.jsonl", 2) == questions[:2]
    (tmp_path / "texts.txt").write_text("One.\nTwo.\n")
    assert items_for(ModelInfo("any", "text-classification", 8), "", tmp_path / "texts.txt", 9) == ["One.", "Two."]
    (tmp_path / "texts.jsonl").write_text("One.\n")
    with pytest.raises(SmithError, match=r'texts.jsonl, line 1: it is no JSON; write \{"question": …, "context": …\}'):
        items_for(info, "", tmp_path / "texts.jsonl", 2)
    with pytest.raises(SmithError, match="no such file"):
        items_for(info, "", tmp_path / "none.jsonl", 2)


def test_both_versions_are_asked_every_item_and_disagreements_counted() -> None:
    class Two(FakeTransport):
        def infer(self, model: str, inputs: Any, timeout: float, request_id: str) -> Any:
            asked.append(model)
            (text,) = inputs["TEXT"].ravel()
            best = "B" if model == "new" and text == b"item 3" else "A"
            names = [best, "A" if best == "B" else "B"]
            return {"LABEL": np.array([[name.encode() for name in names]], object), "SCORE": np.array([[0.9, 0.1]])}

    asked: list[str] = []
    infos = [ModelInfo(name, "text-classification", 8) for name in ("old", "new")]
    with Client(transport=Two()) as client:
        found = compare(client, *infos, [f"item {number}" for number in range(20)], {"top_k": None})
    assert (found.items, found.agreement) == (20, 0.95)
    assert asked.count("old") == asked.count("new") == 28  # eight of them to warm up
    assert found.slowdown > 0
