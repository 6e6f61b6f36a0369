"""INT8: which products are chosen, and that a text's answer is its own."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from tiny_models import FEED_FORWARD, HIDDEN, LAYERS, sentences
from tritonsmith_build.stages.precision import LEAVE_OUT, int8_from_onnx, matmuls_to_quantize
from tritonsmith_build.targets import TARGETS
from workbench import Exported

# A tiny model's hidden and feed-forward sizes differ, so the shape of a weight says which product it belongs to.
ATTENTION, FC1, FC2 = (HIDDEN, HIDDEN), (HIDDEN, FEED_FORWARD), (FEED_FORWARD, HIDDEN)
EXPECTED: dict[str | None, Counter[tuple[int, int]]] = {
    None: Counter({ATTENTION: 4 * LAYERS, FC1: LAYERS, FC2: LAYERS}),
    "after GELU": Counter({ATTENTION: 4 * LAYERS, FC1: LAYERS}),  # query, key, value and output
    "around GELU": Counter({ATTENTION: 4 * LAYERS}),
}


@pytest.fixture(scope="session")
def int8_file(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-class BERT in INT8."""
    file = tmp_path_factory.mktemp("int8") / "model.onnx"
    quantize(exported("bert-2"), file, "after GELU")
    return file


def quantize(case: Exported, file: Path, leave_out: str | None) -> None:
    """Run the stage on 32 texts."""
    data = list(case.samples(sentences(32, seed=6)).batches(1))
    int8_from_onnx(case.file, file, data, leave_out=leave_out)


def run(file: Path | bytes, batch: dict[str, np.ndarray], *outputs: str) -> list[np.ndarray]:
    """Outputs of an ONNX file."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(list(outputs) or None, batch)


def test_the_choices_go_from_the_least_left_out_to_the_most() -> None:
    assert [None, *LEAVE_OUT] == list(EXPECTED) == [route.leave_out for route in TARGETS["cpu"].routes["int8"]]
    left_out = [frozenset(), *LEAVE_OUT.values()]
    assert all(less < more for less, more in itertools.pairwise(left_out))


@pytest.mark.parametrize("leave_out", EXPECTED)
@pytest.mark.parametrize("name", ["bert-2", "distilbert-5", "roberta-3", "mean"])
def test_products_are_chosen_by_what_stands_around_them(
    exported: Callable[[str], Exported], name: str, leave_out: str | None
) -> None:
    model = onnx.load(exported(name).file)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    products = {node.name: shapes.get(node.input[1]) for node in model.graph.node if node.op_type == "MatMul"}
    assert Counter(products.values()) == EXPECTED[None] + Counter({None: 2 * LAYERS})
    chosen = matmuls_to_quantize(model, LEAVE_OUT[leave_out] if leave_out else frozenset())
    assert Counter(products[name] for name in chosen) == EXPECTED[leave_out]


@pytest.mark.parametrize("leave_out", EXPECTED)
def test_the_file_holds_int8_weights_for_the_chosen_alone(
    exported: Callable[[str], Exported], tmp_path: Path, leave_out: str | None
) -> None:
    quantize(exported("bert-2"), tmp_path / "model.onnx", leave_out)
    graph = onnx.load(tmp_path / "model.onnx").graph
    weights = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2]
    assert Counter(tuple(tensor.dims) for tensor in weights) == EXPECTED[leave_out]
    full = Counter(tuple(tensor.dims) for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT)
    assert full[FC2] == LAYERS - EXPECTED[leave_out][FC2]
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_two_products_of_a_quantized_weight_fit_16_bits(int8_file: Path) -> None:
    """Where a CPU has no VNNI their sum is cut off at 32767: answers would depend on the machine."""
    weights = [numpy_helper.to_array(value) for value in onnx.load(int8_file).graph.initializer]
    quantized = [weight for weight in weights if weight.dtype == np.int8 and weight.ndim == 2]
    assert len(quantized) == LAYERS * 5
    assert 2 * 255 * max(int(np.abs(weight.astype(int)).max()) for weight in quantized) < 2**15


def test_inputs_and_output_keep_their_types(exported: Callable[[str], Exported], int8_file: Path) -> None:
    before, after = (onnx.load(file).graph for file in (exported("bert-2").file, int8_file))
    assert list(after.input) == list(before.input)
    assert list(after.output) == list(before.output)


def test_int8_is_not_fp32_and_yet_near_it(exported: Callable[[str], Exported], int8_file: Path) -> None:
    case = exported("bert-2")
    batch = case.batch(sentences(20, seed=7))
    (full,), (quantized,) = run(case.file, batch), run(int8_file, batch)
    difference = np.abs(full - quantized).max()
    assert 1e-3 < difference < 0.5 * np.ptp(full)


def share_of_equal_answers(case: Exported, file: Path) -> float:
    """Of 40 texts, how many get the same answer alone and among the others, padded to the longest."""
    texts = sentences(40, seed=7)
    (together,) = run(file, case.batch(texts, length=32))
    alone = np.concatenate([run(file, case.batch([text]))[0] for text in texts])
    return float(np.isclose(together, alone, atol=1e-5).all(axis=1).mean())


def test_the_int8_answer_to_a_text_does_not_depend_on_its_neighbours(
    exported: Callable[[str], Exported], int8_file: Path, tmp_path: Path
) -> None:
    case = exported("bert-2")
    quantize_dynamic(case.file, tmp_path / "dynamic.onnx")  # takes its scales from each batch
    assert share_of_equal_answers(case, tmp_path / "dynamic.onnx") < 0.5
    assert share_of_equal_answers(case, int8_file) > 0.9  # a kernel for another shape may round a value the other way


def test_scales_are_the_range_that_the_calibration_texts_give(exported: Callable[[str], Exported], int8_file: Path) -> None:
    case, model = exported("bert-2"), onnx.load(int8_file)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")  # all before it is computed in FP32
    measured, scale, zero_point = first.input
    model.graph.output.append(onnx.helper.make_tensor_value_info(measured, TensorProto.FLOAT, None))
    seen = [run(model.SerializeToString(), case.batch([text]), measured)[0] for text in sentences(32, seed=6)]
    least, greatest = min(0.0, *(array.min() for array in seen)), max(0.0, *(array.max() for array in seen))
    assert float(values[scale]) == pytest.approx((greatest - least) / 255, rel=1e-4)
    # The whole number nearest to zero's place. A smoothed range may be so even (-1 to 1) that two are as near: either is right.
    assert abs(int(values[zero_point]) + least / values[scale]) == pytest.approx(0, abs=0.5 + 1e-4)
