"""The canaries that a build leaves: each step's own answers are right, and a broken engine's are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from tritonsmith_build.repository import read_manifest
from tritonsmith_build.server.canary import DTYPES, Canary
from tritonsmith_build.tables import Precision
from workbench import Workplace


def canary_of(place: Workplace, step: str) -> Canary:
    return Canary.read(place.repository / f"moods_{step}" / "1" / "canary.cpu.json")


def answered_by(engine: Path, canary: Canary) -> Canary:
    """What an engine's file answers to the engine's question, in ONNX Runtime."""
    asked = {tensor.name: np.frombuffer(tensor.raw, DTYPES[tensor.datatype]).reshape(tensor.shape) for tensor in canary.inputs}
    (logits,) = onnxruntime.InferenceSession(engine).run(None, asked)
    return Canary.of(asked, {"logits": logits})


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_engine_that_is_served_answers_rightly_in_another_runtime(place: Workplace, precision: Precision) -> None:
    place.build(precision)
    canary = canary_of(place, "engine")
    assert canary.differs(answered_by(place.engine, canary).outputs) is None


BREAKING = {
    "negated": lambda weights, chance: -weights,
    "zero": lambda weights, chance: 0 * weights,
    "another model's": lambda weights, chance: chance.normal(0, 1, weights.shape),
}
# Two logits of a tiny INT8 model move by no more than INT8 itself may move them where half of its weights are zero.
CASES = [*(("fp32", how) for how in BREAKING), ("int8", "another model's")]


@pytest.mark.parametrize(("precision", "how"), CASES)
def test_an_engine_with_other_weights_answers_wrongly(place: Workplace, tmp_path: Path, precision: Precision, how: str) -> None:
    place.build(precision)
    canary, model, chance = canary_of(place, "engine"), onnx.load(place.engine), np.random.default_rng(1)
    matrices = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) > 1]
    assert matrices
    for tensor in matrices:
        weights = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(BREAKING[how](weights, chance).astype(weights.dtype), tensor.name))
    onnx.save(model, tmp_path / "broken.onnx")
    problem = canary.differs(answered_by(tmp_path / "broken.onnx", canary).outputs)
    assert problem == "gives other values of logits than when it was built"


def test_canaries_are_artefacts_and_the_steps_are_asked_one_after_the_other(place: Workplace) -> None:
    place.build()
    steps = [canary_of(place, step) for step in ("tokenize", "engine", "classify")]
    names = [({tensor.name for tensor in one.inputs}, {tensor.name for tensor in one.outputs}) for one in steps]
    assert names[0] == ({"TEXT"}, {"input_ids", "attention_mask", "token_type_ids", "TRUNCATED"})
    assert names[1] == ({"input_ids", "attention_mask", "token_type_ids"}, {"logits"})
    assert names[2] == ({"logits"}, {"LABEL", "SCORE"})
    assert {tensor for tensor in steps[0].outputs if tensor.name in names[1][0]} == set(steps[1].inputs)
    manifest = read_manifest(place.repository / "moods_engine" / "1")
    assert manifest is not None
    assert {f"moods_{step}/1/canary.cpu.json" for step in ("tokenize", "engine", "classify")} <= set(
        manifest["targets"]["cpu"]["files"]
    )
