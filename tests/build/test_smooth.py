"""Smoothing moves range from activations into weights and computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import transformers
from onnx import TensorProto, numpy_helper
from tiny_models import sentences
from tritonsmith_build.stages.smooth import smoothed
from workbench import Exported, export, write_spec

CALIBRATION = sentences(16, seed=6)


def run(model: onnx.ModelProto, batch: dict[str, Any], *outputs: str) -> list[Any]:
    """Outputs of a model, and of tensors inside it."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    known = {value.name for value in probe.graph.output}
    inner = [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name not in known]
    probe.graph.output.extend(inner)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(outputs) or None, batch)


def smooth(case: Exported) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The exported graph before and after."""
    model = onnx.load(case.file)
    return model, smoothed(model, [case.batch([text]) for text in CALIBRATION])


def products(model: onnx.ModelProto) -> dict[str, tuple[str, np.ndarray]]:
    """For each MatMul by a constant: what it reads, and its weight."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    return {node.name: (node.input[0], weights[node.input[1]]) for node in nodes}


@pytest.mark.parametrize("name", ["bert-2", "distilbert-5", "roberta-3", "mean"])
def test_the_smoothed_graph_computes_the_same(exported: Callable[[str], Exported], name: str) -> None:
    case = exported(name)
    before, after = smooth(case)
    batch = case.batch(sentences(9, seed=8), length=32)
    np.testing.assert_allclose(run(after, batch)[0], run(before, batch)[0], atol=2e-5)
    onnx.checker.check_model(after)


def test_a_weight_that_serves_many_layers_is_smoothed_for_all_of_them(tmp_path: Path) -> None:
    """ALBERT runs one layer again and again."""
    config = transformers.AlbertConfig(
        vocab_size=200,
        embedding_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.25,
    )
    transformers.set_seed(0)
    transformers.AlbertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"])}
    transformers.BertTokenizerFast(vocab=words).save_pretrained(tmp_path / "model")
    before, after = smooth(case := export(write_spec(tmp_path, input={"buckets": [16, 32]}), tmp_path / "exported"))
    batch = case.batch(["good film", "bad bad film", "good bad good"])
    np.testing.assert_allclose(run(after, batch)[0], run(before, batch)[0], atol=2e-5)


def test_the_graph_that_was_given_is_left_as_it_was(exported: Callable[[str], Exported]) -> None:
    case = exported("bert-2")
    before, _ = smooth(case)
    assert before == onnx.load(case.file)


def test_activation_and_weight_meet_in_the_middle(exported: Callable[[str], Exported]) -> None:
    """At strength 0.5 both operands have the same greatest value in every channel: equation 4 of the SmoothQuant paper."""
    case = exported("bert-2")
    before, after = smooth(case)
    read: dict[str, list[np.ndarray]] = {}
    for activation, weight in products(after).values():
        read.setdefault(activation, []).append(weight)
    assert len(products(after)) == len(products(before)) > len(read) > 0
    for activation, weights in read.items():
        rows = [run(after, case.batch([text]), activation)[0].reshape(-1, len(weights[0])) for text in CALIBRATION]
        greatest = np.abs(np.concatenate(rows)).max(axis=0)
        np.testing.assert_allclose(greatest, np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0), rtol=1e-4)
