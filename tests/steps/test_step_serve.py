from __future__ import annotations

import json
import re
import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from triton_modules import Triton
from tritonsmith_build.server.wire import CANARY
from tritonsmith_build.tasks import TASKS
from tritonsmith_steps.drift import FILE, Reference
from tritonsmith_steps.meters import METRICS
from tritonsmith_steps.room import Room

TOKENIZE = {
    "inputs": ["input_ids", "attention_mask"],
    "max_length": 8,
    "buckets": [4, 8],
    "max_bytes": 100,
    "pad": {"input_ids": 0, "token_type_ids": 0},
    "truncation_side": "right",
}


def model(
    triton: Triton,
    step: str,
    repository: Path,
    *,
    inputs: list[str],
    settings: object,
    parameters: dict[str, str] | None = None,
) -> Any:
    """A ``model.py`` as Triton starts it, its version folder ``1`` with a ``step.json``."""
    (repository / "1").mkdir(parents=True, exist_ok=True)
    (repository / "1" / "step.json").write_text(json.dumps(settings))
    config = {
        "max_batch_size": 4,
        "input": [{"name": name} for name in inputs],
        "parameters": {key: {"string_value": value} for key, value in (parameters or {}).items()},
    }
    made = triton.serve.triton_model(step)()
    made.initialize(
        {
            "model_config": json.dumps(config),
            "model_repository": str(repository),
            "model_version": "1",
            "model_name": f"demo_{step}",
            "model_instance_name": f"demo_{step}_0_1",
        }
    )
    return made


def requests(triton: Triton, name: str, *arrays: np.ndarray) -> list[Any]:
    other = triton.pb_utils.Tensor("OTHER", np.zeros(1))
    return [triton.pb_utils.InferenceRequest([other, triton.pb_utils.Tensor(name, array)]) for array in arrays]


def texts(*rows: bytes) -> np.ndarray:
    return np.array(rows, dtype=np.object_).reshape(-1, 1)


def outputs(response: Any) -> dict[str, Any]:
    assert not response.has_error(), response.error().message()
    return {tensor.name(): tensor.as_numpy().tolist() for tensor in response.output_tensors()}


@pytest.fixture
def tokenizing(triton: Triton, tmp_path: Path, minilm: Path) -> Any:
    (tmp_path / "1").mkdir()
    shutil.copy(minilm / "tokenizer.json", tmp_path / "1")
    return model(triton, "tokenize", tmp_path, inputs=["TEXT"], settings=TOKENIZE, parameters={"padding": "longest"})


DISTRIBUTED = {metric.title for metric in METRICS.values() if metric.bounds}


def test_each_request_gets_its_own_response_in_order(triton: Triton, tmp_path: Path) -> None:
    step = model(triton, "classify", tmp_path, inputs=["logits"], settings={"labels": ["no", "yes"], "activation": "none"})
    rows = np.array([[1, 2], [4, 3], [5, 6]], dtype=np.float32)
    first, second = map(outputs, step.execute(requests(triton, "logits", rows[:1], rows[1:])))
    assert first == {"LABEL": [[b"yes", b"no"]], "SCORE": [[2, 1]]}
    assert second == {"LABEL": [[b"no", b"yes"], [b"yes", b"no"]], "SCORE": [[4, 3], [6, 5]]}


def test_a_bad_request_is_refused_and_its_neighbours_are_answered(triton: Triton, tokenizing: Any) -> None:
    first, bad, last = tokenizing.execute(requests(triton, "TEXT", texts(b"good"), texts(b"good", b""), texts(b"good good")))
    assert outputs(first)["attention_mask"] == [[1, 1, 1]]
    assert outputs(last)["attention_mask"] == [[1, 1, 1, 1]]
    assert bad.error().code() == triton.pb_utils.TritonError.INVALID_ARG
    assert bad.error().message() == "item 1: the text is empty; leave it out"
    assert triton.pb_utils.LOG == []


def test_an_optional_tensor_is_given_to_the_step_where_a_request_has_it(triton: Triton, tmp_path: Path) -> None:
    inputs = ["logits", "FUNCTION_TO_APPLY"]
    step = model(triton, "classify", tmp_path, inputs=inputs, settings={"labels": ["no", "yes"], "activation": "none"})
    logits = triton.pb_utils.Tensor("logits", np.array([[1, 2]], dtype=np.float32))
    function = triton.pb_utils.Tensor("FUNCTION_TO_APPLY", texts(b"softmax"))
    without, given = step.execute([triton.pb_utils.InferenceRequest(tensors) for tensors in ([logits], [logits, function])])
    assert outputs(without)["SCORE"] == [[2, 1]]
    assert outputs(given)["SCORE"] == [pytest.approx([0.731, 0.269], abs=1e-3)]


def test_a_fault_inside_a_step_is_logged_and_every_caller_is_told_in_one_line(triton: Triton, tmp_path: Path) -> None:
    step = model(triton, "embed", tmp_path, inputs=["pooled"], settings={"normalize": True})
    unequal = np.ones((1, 2), dtype=np.float32), np.ones((1, 3), dtype=np.float32)
    responses = step.execute(requests(triton, "pooled", *unequal))
    assert [response.error().code() for response in responses] == [triton.pb_utils.TritonError.INTERNAL] * 2
    for response in responses:
        message = response.error().message()
        assert "embed step failed" in message
        assert "\n" not in message
        assert "Traceback" not in message
        assert ".py" not in message
    (logged,) = triton.pb_utils.LOG
    assert logged.startswith("Traceback")
    assert "embed.py" in logged
    assert "ValueError" in logged


def test_a_logged_fault_keeps_the_way_to_it_and_no_errors_text(
    triton: Triton, tokenizing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error's text may repeat what a caller sent, and so may that of one before it."""

    def fail(requests: Any) -> Any:
        try:
            int(requests[0]["TEXT"][0, 0].decode())
        except ValueError as error:
            raise KeyError(str(error)) from error

    monkeypatch.setattr(tokenizing, "_step", fail)
    (response,) = tokenizing.execute(requests(triton, "TEXT", texts(b"canary-93d1")))
    assert response.error().code() == triton.pb_utils.TritonError.INTERNAL
    (logged,) = triton.pb_utils.LOG
    assert re.findall(r"^(\w+) \(its text is not kept\)$", logged, re.MULTILINE) == ["ValueError", "KeyError"]
    assert "in fail" in logged
    assert "canary" not in logged + response.error().message()


def test_a_step_that_cannot_be_loaded_stops_the_model_with_its_reason(triton: Triton, tmp_path: Path) -> None:
    with pytest.raises(triton.pb_utils.TritonModelException) as caught:
        model(triton, "embed", tmp_path, inputs=["pooled"], settings={"normalise": True})
    message = str(caught.value)
    assert message.startswith("demo_embed cannot start: ")
    assert str(tmp_path / "1" / "step.json") in message
    assert "normalise" in message
    assert message.endswith("run: tritonsmith render")


def test_counts_add_up_on_tritons_metrics_page_under_the_models_name(triton: Triton, tokenizing: Any) -> None:
    tokenizing.execute(requests(triton, "TEXT", texts(b"good", b"good good")))  # 3 + 4 tokens, 1 of padding
    tokenizing.execute(requests(triton, "TEXT", texts(b"good " * 20), texts(b"good")))  # cut to 8, and 3
    tokenizing.finalize()
    counted = {key: value for key, value in triton.pb_utils.METRICS.items() if key[0] not in DISTRIBUTED}
    assert counted == {
        ("tritonsmith_requests_total", "demo_tokenize", "answered"): 3,
        ("tritonsmith_tokens_total", "demo_tokenize"): 18,
        ("tritonsmith_padding_tokens_total", "demo_tokenize"): 1,
        ("tritonsmith_truncated_inputs_total", "demo_tokenize"): 1,
        ("tritonsmith_letters_total", "demo_tokenize", "latin"): 4 + 8 + 80 + 4,
    }
    assert triton.pb_utils.METRICS["tritonsmith_input_tokens_total", "demo_tokenize", "8"] == 4
    assert set(triton.pb_utils.MADE.values()) == {1}


def test_triton_is_told_of_many_batches_at_once(triton: Triton, tokenizing: Any) -> None:
    for _ in range(200):
        tokenizing.execute(requests(triton, "TEXT", texts(b"good")))
    tokenizing.finalize()
    assert triton.pb_utils.METRICS["tritonsmith_tokens_total", "demo_tokenize"] == 600
    assert triton.pb_utils.TOLD["tritonsmith_tokens_total"] < 20


def test_counts_reach_the_page_while_a_model_is_loaded(triton: Triton, tokenizing: Any) -> None:
    tokenizing.execute(requests(triton, "TEXT", texts(b"good")))
    deadline = time.monotonic() + 10
    while not triton.pb_utils.METRICS["tritonsmith_tokens_total", "demo_tokenize"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_supervisors_questions_are_not_counted(triton: Triton, tmp_path: Path) -> None:
    step = model(triton, "classify", tmp_path, inputs=["logits"], settings={"labels": ["no", "yes"], "activation": "softmax"})
    tensor = triton.pb_utils.Tensor("logits", np.array([[1, 2]], dtype=np.float32))
    asked = [triton.pb_utils.InferenceRequest([tensor], request_id) for request_id in ("", CANARY, "a caller's")]
    assert len(step.execute(asked)) == 3
    step.finalize()
    assert triton.pb_utils.METRICS["tritonsmith_labels_total", "demo_classify", "yes"] == 2
    assert triton.pb_utils.METRICS["tritonsmith_requests_total", "demo_classify", "answered"] == 2


def test_a_step_that_fails_says_of_how_many_requests(triton: Triton, tmp_path: Path) -> None:
    step = model(triton, "classify", tmp_path, inputs=["logits"], settings={"labels": ["no", "yes"], "activation": "softmax"})
    step.execute(requests(triton, "logits", np.zeros((1, 2), dtype=np.float32), np.zeros((1, 7), dtype=np.float32)))
    step.finalize()
    assert triton.pb_utils.METRICS["tritonsmith_requests_total", "demo_classify", "failed"] == 2


def test_only_an_engine_gives_way_to_the_others(triton: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(triton.serve.os, "nice", given.append)
    for step in ("tokenize", "engine"):
        with pytest.raises(triton.pb_utils.TritonModelException):  # there is nothing to load
            model(triton, step, tmp_path / step, inputs=[], settings={})
    assert given == [0, 10]


@pytest.mark.parametrize("step", ["tokenize", "engine", *sorted({task.step for task in TASKS.values()})])
def test_every_step_can_be_found(step: str) -> None:
    assert callable(import_module(f"tritonsmith_steps.{step}").STEP.load)


def test_rows_that_go_to_the_engine_are_counted_where_the_server_says(
    triton: Triton, tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONSMITH_ROOM", str(tmp_path / "room-"))
    (tmp_path / "1").mkdir()
    shutil.copy(minilm / "tokenizer.json", tmp_path / "1")
    step = model(triton, "tokenize", tmp_path, inputs=["TEXT"], settings=TOKENIZE, parameters={"padding": "longest"})
    bad = np.array([b"\xff"], dtype=np.object_).reshape(-1, 1)
    step.execute(requests(triton, "TEXT", texts(b"One", b"Two"), bad, texts(b"Three")))
    assert Room(tmp_path / "room-demo.1").waiting == 3


def test_steps_after_the_engine_are_not_held_back(triton: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONSMITH_ROOM", str(tmp_path / "room-"))
    step = model(triton, "classify", tmp_path, inputs=["logits"], settings={"labels": ["no", "yes"], "activation": "none"})
    step.execute(requests(triton, "logits", np.zeros((1, 2), dtype=np.float32)))
    assert not [*tmp_path.glob("room-*")]


def test_a_reference_of_another_model_costs_the_drift_and_not_the_counts(triton: Triton, tmp_path: Path) -> None:
    other = Reference(1, 1, {}, {"embedding": {"centroid": 0.2}}, [0.5] * 7, 1.0)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / FILE).write_text(other.text())
    step = model(triton, "embed", tmp_path, inputs=["pooled"], settings={"normalize": True})
    for _ in range(2):
        outputs(step.execute(requests(triton, "pooled", np.ones((1, 3), dtype=np.float32)))[0])
    step.finalize()
    assert triton.pb_utils.METRICS["tritonsmith_requests_total", "demo_embed", "answered"] == 2
    (logged,) = triton.pb_utils.LOG
    assert "_tell_drift" in logged


def test_a_look_that_fails_costs_neither_an_answer_nor_the_counts_after_it(
    triton: Triton, tokenizing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = iter([ValueError("odd"), None])

    def look(*_: Any, unknown: int | None) -> None:
        if error := next(looked):
            raise error

    monkeypatch.setattr(triton.serve, "watched", look)
    for _ in range(2):
        outputs(tokenizing.execute(requests(triton, "TEXT", texts(b"good")))[0])
    tokenizing.finalize()
    assert next(looked, "both") == "both"
    assert triton.pb_utils.METRICS["tritonsmith_requests_total", "demo_tokenize", "answered"] == 2
    assert "ValueError" in triton.pb_utils.LOG[-1]
