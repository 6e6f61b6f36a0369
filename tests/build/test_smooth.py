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
from tritonsmith_build.stages import smooth as smoothing
from tritonsmith_build.stages.precision import int8_from_onnx
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


def greatest_ends(model: onnx.ModelProto, case: Exported) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each activation that weights multiply: the greatest of each channel, and of the same row of the weights."""
    read: dict[str, list[np.ndarray]] = {}
    for activation, weight in products(model).values():
        read.setdefault(activation, []).append(weight)
    found = []
    for activation, weights in read.items():
        rows = [run(model, case.batch([text]), activation)[0].reshape(-1, len(weights[0])) for text in CALIBRATION]
        greatest = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
        found.append((np.abs(np.concatenate(rows)).max(axis=0), greatest))
    return found


def test_activation_and_weight_share_the_range_by_one_strength_in_every_channel(exported: Callable[[str], Exported]) -> None:
    """Equation 4 of the SmoothQuant paper: a factor of x^a / w^(1-a) leaves (xw)^(1-a) and (xw)^a."""
    case = exported("bert-2")
    before, after = smooth(case)
    ends = greatest_ends(after, case)
    assert len(products(after)) == len(products(before)) > len(ends) > 0
    for activation, weight in ends:
        fits = [np.allclose(activation**a, weight ** (1 - a), rtol=1e-4) for a in smoothing.STRENGTHS]
        assert sum(fits) == 1


def one_product(weight: np.ndarray) -> onnx.ModelProto:
    """A graph that multiplies by ``weight``."""
    tokens, width = weight.shape[0], weight.shape[1]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "weight"], ["y"], name="product")],
        "product",
        [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, tokens])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, width])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def loud_channel(numbers: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and weights, all of one size but for a channel that is loud in some rows."""
    rows = numbers.normal(size=(256, 64))
    rows[::16, 5] *= 100
    return rows, numbers.normal(size=(64, 32))


def heavy_tails(numbers: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a few great values anywhere, and weights whose rows are of many sizes."""
    return numbers.standard_t(2, size=(256, 64)), numbers.normal(size=(64, 32)) * numbers.lognormal(sigma=0.5, size=(64, 1))


@pytest.mark.parametrize(("operands", "unfit"), [(loud_channel, 0.8), (heavy_tails, 0.5)])
def test_the_strength_is_the_one_under_which_onnx_runtimes_int8_harms_least(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operands: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]],
    unfit: float,
) -> None:
    """What fits one product does not fit another."""
    rows, weight = (array.astype(np.float32) for array in operands(np.random.default_rng(0)))
    data = [{"x": rows[start : start + 16]} for start in range(0, 256, 16)]
    onnx.save(one_product(weight), tmp_path / "model.onnx")

    def harm(strengths: tuple[float, ...]) -> float:
        monkeypatch.setattr(smoothing, "STRENGTHS", strengths)
        int8_from_onnx(tmp_path / "model.onnx", tmp_path / "int8.onnx", data)
        return float(np.square(run(onnx.load(tmp_path / "int8.onnx"), {"x": rows})[0] - rows @ weight).sum())

    every = smoothing.STRENGTHS
    harms = {strength: harm((strength,)) for strength in every}
    assert harm(every) <= 1.02 * min(harms.values())
    assert harms[unfit] > 1.3 * min(harms.values())
