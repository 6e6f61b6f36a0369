"""Which products INT8 harms, found out on small graphs where one knows it before, and what is then left out of a real one."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorrt_rtx as trt
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from tiny_models import FEED_FORWARD, HIDDEN, LAYERS, sentences
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.plan import network_types
from tritonsmith_build.stages.dequantized import quantized_products, without
from tritonsmith_build.stages.gpu_precision import fp16_from_onnx, int8_from_onnx
from tritonsmith_build.stages.precision import Reader
from tritonsmith_build.stages.product_groups import Group, groups_of
from tritonsmith_build.stages.proof import weight_shares
from tritonsmith_build.stages.sensitivity import Search, search
from tritonsmith_build.stages.smooth import weighted_matmuls
from workbench import Exported

Arrays = dict[str, np.ndarray]


def session_of(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    """A graph, or its file, on the CPU, quantized products computed as they are written."""
    content = model if isinstance(model, Path) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(file: Path, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """An ONNX file's one output, in float64."""
    return session_of(file).run(None, dict(batch))[0].astype(np.float64)


def distance(actual: np.ndarray, expected: np.ndarray) -> float:
    """Relative to what is expected."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


# Small graphs made by hand


WIDTH, DEPTH = 16, 3


@dataclass(frozen=True)
class Chain:
    """``DEPTH`` layers of a product, a Gelu and a product; FP32, quantized, and what it was calibrated with."""

    source: Path
    quantized: Path
    data: Sequence[Arrays]

    def products(self) -> list[str]:
        return quantized_products(onnx.load(self.quantized))


def saved(file: Path, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray], output: str) -> Path:
    """A graph that reads ``x``, ``[batch, 4, WIDTH]``."""
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    made = helper.make_graph(
        nodes,
        "by_hand",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, WIDTH])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, file)
    return file


def quantized(source: Path, target: Path, data: Sequence[Arrays], *, float_weights: bool = True) -> Path:
    """Every MatMul between symmetric Q/DQ, by ONNX Runtime."""
    quantize_static(
        source,
        target,
        Reader(data),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": float_weights,
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
        },
    )
    return target


def chain(folder: Path, *, ruined: int | None = None, float_weights: bool = True) -> Chain:
    """In the layer ``ruined`` a channel after the Gelu is a thousand times the others, and the product makes nothing of it."""
    draw = np.random.default_rng(0)
    nodes, constants, tensor = [], {}, "x"
    for layer in range(DEPTH):
        constants |= {f"{name}{layer}": draw.normal(size=(WIDTH, WIDTH)) / math.sqrt(WIDTH) for name in ("up", "down")}
        constants[f"bias{layer}"] = np.zeros(WIDTH)
        if layer == ruined:
            constants[f"bias{layer}"][5], constants[f"down{layer}"][5] = 1000, 0
        nodes += [
            helper.make_node("MatMul", [tensor, f"up{layer}"], [f"u{layer}"], name=f"first_{layer}"),
            helper.make_node("Add", [f"u{layer}", f"bias{layer}"], [f"b{layer}"], name=f"add_{layer}"),
            helper.make_node("Gelu", [f"b{layer}"], [f"g{layer}"], name=f"gelu_{layer}"),
            helper.make_node("MatMul", [f"g{layer}", f"down{layer}"], [f"d{layer}"], name=f"second_{layer}"),
        ]
        tensor = f"d{layer}"
    floats = {name: array.astype(np.float32) for name, array in constants.items()}
    source = saved(folder / "model.onnx", nodes, floats, tensor)
    data = [{"x": draw.normal(size=(2, 4, WIDTH)).astype(np.float32)} for _ in range(12)]
    return Chain(source, quantized(source, folder / "quantized.onnx", data, float_weights=float_weights), data)


@pytest.mark.parametrize("ruined", range(DEPTH))
def test_the_product_that_int8_ruins_is_the_first_to_be_left_out(tmp_path: Path, ruined: int) -> None:
    case = chain(tmp_path, ruined=ruined)
    found = search(case.source, case.quantized, case.data)
    nothing, first = found.candidates[:2]
    assert (nothing.left_out, nothing.products) == ((), frozenset())
    assert (first.left_out, first.products) == ((f"after GELU, layer {ruined + 1}",), {f"second_{ruined}"})
    assert nothing.harm > 10 * first.harm
    worst, second = (row["harm"] for row in found.table[:2])
    assert worst > 10 * second
    without(case.quantized, tmp_path / "first.onnx", first.products)
    expected = run(case.source, case.data[0])
    assert distance(run(tmp_path / "first.onnx", case.data[0]), expected) < 0.1
    assert distance(run(case.quantized, case.data[0]), expected) > 0.5


def test_harm_is_what_one_group_does_alone(tmp_path: Path) -> None:
    """Counted here by rounding both operands of one product of the FP32 graph."""
    case = chain(tmp_path)
    harms = {row["group"]: row["harm"] for row in search(case.source, case.quantized, case.data).table}
    model = onnx.load(case.source)
    model.graph.output.append(helper.make_tensor_value_info("g1", TensorProto.FLOAT, None))
    batch = np.concatenate([batch["x"] for batch in case.data])
    expected, activation = session_of(model).run(None, {"x": batch})
    weight = next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == "down1")
    product = rounding(activation, np.abs(activation).max()) @ rounding(weight, np.abs(weight).max(axis=0))
    rest = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(["d1"], [f"d{DEPTH - 1}"])
    (actual,) = session_of(rest).run(None, {"d1": product.astype(np.float32)})
    assert harms["after GELU, layer 2"] == pytest.approx(distance(actual, expected), rel=0.02)


def rounding(array: np.ndarray, greatest: np.ndarray) -> np.ndarray:
    """To 255 steps between minus and plus ``greatest``."""
    return np.round(array / greatest * 127) * greatest / 127


def test_a_search_finds_the_same_again_and_whatever_order_sets_have(tmp_path: Path) -> None:
    case = chain(tmp_path, ruined=1)
    assert search(case.source, case.quantized, case.data) == search(case.source, case.quantized, case.data)


def test_a_search_runs_as_many_batches_as_it_is_told_spread_over_all(tmp_path: Path) -> None:
    case = chain(tmp_path, ruined=1)
    broken = [batch if index % 4 == 0 else {"y": batch["x"]} for index, batch in enumerate(case.data)]
    assert search(case.source, case.quantized, broken, batches=3) == search(case.source, case.quantized, case.data[::4])
    with pytest.raises(ValueError, match="Required inputs"):
        search(case.source, case.quantized, broken, batches=4)


def test_answers_that_are_no_numbers_are_the_greatest_harm_and_fit_into_json(tmp_path: Path) -> None:
    case = chain(tmp_path, ruined=0)
    model = onnx.load(case.quantized)
    made_by = {output: node for node in model.graph.node for output in node.output}
    (product,) = (node for node in model.graph.node if node.name == "second_2")
    scale = made_by[product.input[0]].input[1]
    broken = next(tensor for tensor in model.graph.initializer if tensor.name == scale)
    broken.CopyFrom(numpy_helper.from_array(np.float32("nan"), scale))
    onnx.save(model, case.quantized)
    found = search(case.source, case.quantized, case.data)
    assert found.candidates[1].products == {"second_2"}
    assert json.loads(json.dumps(found.table, allow_nan=False)) == found.table


# The order


def measured(*rows: tuple[str, float, float]) -> Search:
    """From a name, a share and a harm each."""
    return Search(tuple((Group(name, (f"{name}_a", f"{name}_b"), share), harm) for name, share, harm in rows))


def test_little_work_is_left_out_before_much_that_harms_as_little() -> None:
    found = measured(("large", 0.4, 0.2), ("small", 0.1, 0.12), ("harmless", 0.3, 0.0), ("bad", 0.2, 0.5))
    assert [row["group"] for row in found.table] == ["bad", "small", "large", "harmless"]


def test_it_is_the_square_of_harm_that_counts() -> None:
    """By harm a share the small one would come first; left out, the large one takes six times as much error with it."""
    found = measured(("small", 0.1, 0.12), ("large", 0.4, 0.3))
    assert [row["group"] for row in found.table] == ["large", "small"]


def test_equals_stay_in_the_graphs_order() -> None:
    rows = [("one", 0.2, 0.1), ("two", 0.2, 0.1), ("three", 0.2, 0.1)]
    for order in itertools.permutations(rows):
        assert [row["group"] for row in measured(*order).table] == [name for name, _, _ in order]


def test_each_candidate_leaves_out_one_group_more_and_none_leaves_out_all() -> None:
    found = measured(("large", 0.4, 0.2), ("small", 0.1, 0.12), ("harmless", 0.3, 0.01))
    assert [candidate.left_out for candidate in found.candidates] == [(), ("small",), ("small", "large")]
    assert [candidate.share for candidate in found.candidates] == pytest.approx([0.8, 0.7, 0.3])
    assert [candidate.harm for candidate in found.candidates] == pytest.approx([0.2335, 0.2002, 0.01], abs=1e-4)
    assert [sorted(candidate.products) for candidate in found.candidates[1:]] == [
        ["small_a", "small_b"],
        ["large_a", "large_b", "small_a", "small_b"],
    ]


# The graph without some Q/DQ


def test_without_all_of_its_quantization_a_graph_is_what_it_was(tmp_path: Path) -> None:
    case = chain(tmp_path)
    without(case.quantized, tmp_path / "back.onnx", case.products())
    assert {node.op_type for node in onnx.load(tmp_path / "back.onnx").graph.node} == {"MatMul", "Add", "Gelu"}
    assert np.array_equal(run(tmp_path / "back.onnx", case.data[0]), run(case.source, case.data[0]))
    assert not np.array_equal(run(case.quantized, case.data[0]), run(case.source, case.data[0]))


def test_without_nothing_a_graph_answers_the_same(tmp_path: Path) -> None:
    case = chain(tmp_path)
    without(case.quantized, tmp_path / "same.onnx", [])
    assert np.array_equal(run(tmp_path / "same.onnx", case.data[0]), run(case.quantized, case.data[0]))


def test_what_is_not_quantized_cannot_be_taken_back(tmp_path: Path) -> None:
    with pytest.raises(SmithError, match="gelu_0 is no quantized product"):
        without(chain(tmp_path).quantized, tmp_path / "without.onnx", ["first_0", "gelu_0"])
    assert not (tmp_path / "without.onnx").exists()


def test_a_weight_stored_in_int8_cannot_be_taken_back(tmp_path: Path) -> None:
    case = chain(tmp_path, float_weights=False)
    with pytest.raises(SmithError, match="stored in INT8 alone, so first_0"):
        without(case.quantized, tmp_path / "without.onnx", ["first_0"])
    assert not (tmp_path / "without.onnx").exists()


# Groups

PLACES = ("before attention", "after attention", "before GELU", "after GELU")
NAMES = [f"{place}, layer {layer}" for layer in range(1, LAYERS + 1) for place in PLACES]
ELEMENTS = dict(zip(PLACES, (3 * HIDDEN**2, HIDDEN**2, HIDDEN * FEED_FORWARD, HIDDEN * FEED_FORWARD), strict=True))


@pytest.mark.parametrize(("name", "head"), [("bert-2", 34), ("distilbert-5", 37), ("roberta-3", 35), ("mean", 0)])
def test_products_are_grouped_by_place_and_layer(exported: Callable[[str], Exported], name: str, head: int) -> None:
    model = onnx.load(exported(name).file)
    names = [node.name for node in weighted_matmuls(model)]
    groups = groups_of(model, names)
    assert [group.name for group in groups] == NAMES
    assert [product for group in groups for product in group.products] == names
    assert [len(group.products) for group in groups] == [3, 1, 1, 1] * LAYERS
    total = LAYERS * sum(ELEMENTS.values()) + head * HIDDEN  # the head's first weight is square
    assert [group.share * total for group in groups] == pytest.approx([*ELEMENTS.values()] * LAYERS)


def test_a_gate_a_spelled_out_gelu_and_a_joint_projection_are_seen_through(tmp_path: Path) -> None:
    """Newer encoders and vision models have these: one weight for query, key and value, and a GELU of other operations."""
    draw = np.random.default_rng(1)
    sizes = {"qkv": 3 * WIDTH, "out": WIDTH, "gated": 2 * WIDTH, "down": WIDTH, "head": WIDTH}
    constants = {name: draw.normal(size=(WIDTH, size)).astype(np.float32) for name, size in sizes.items()}
    constants |= {"quick": np.float32(1.702), "bias": np.zeros(3 * WIDTH, np.float32)}
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "qkv"], ["p"], name="joint"),
        node("Add", ["p", "bias"], ["pb"]),
        node("Split", ["pb"], ["q", "k", "v"], axis=-1, num_outputs=3),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["scores"], name="scores"),
        node("Softmax", ["scores"], ["weights"]),
        node("MatMul", ["weights", "v"], ["mixed"], name="mixing"),
        node("MatMul", ["mixed", "out"], ["o"], name="output"),
        node("Add", ["x", "o"], ["r"]),
        node("MatMul", ["r", "gated"], ["h"], name="wide"),
        node("Split", ["h"], ["a", "gate"], axis=-1, num_outputs=2),
        node("Mul", ["a", "quick"], ["aq"]),
        node("Sigmoid", ["aq"], ["s"]),
        node("Mul", ["a", "s"], ["gelu"]),
        node("Mul", ["gelu", "gate"], ["m"]),
        node("MatMul", ["m", "down"], ["d"], name="narrow"),
        node("Add", ["r", "d"], ["r2"]),
        node("MatMul", ["r2", "head"], ["y"], name="last"),
    ]
    source = saved(tmp_path / "model.onnx", nodes, constants, "y")
    data = [{"x": draw.normal(size=(1, 4, WIDTH)).astype(np.float32)}]
    for file in (source, quantized(source, tmp_path / "quantized.onnx", data)):
        groups = groups_of(onnx.load(file), ["joint", "scores", "output", "wide", "narrow", "last"])
        assert {name: group.name.removesuffix(", layer 1") for group in groups for name in group.products} == {
            "joint": "before attention",
            "output": "after attention",
            "wide": "before GELU",
            "narrow": "after GELU",
            "last": "the rest",
        }
        assert [group.share for group in groups] == pytest.approx([3 / 8, 1 / 8, 2 / 8, 1 / 8, 1 / 8])


def test_an_activation_function_names_a_group_before_attention_does_and_what_is_behind_before_what_is_ahead(
    tmp_path: Path,
) -> None:
    """Attention and a feed-forward side by side read the same; the feed-forward has two activation functions."""
    constants = {name: np.ones((WIDTH, WIDTH), np.float32) for name in ("query", "wide", "middle", "last")}
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "query"], ["q"], name="query"),
        node("Transpose", ["q"], ["qt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "qt"], ["scores"], name="scores"),
        node("MatMul", ["scores", "x"], ["mixed"], name="mixing"),
        node("MatMul", ["x", "wide"], ["w"], name="wide"),
        node("Gelu", ["w"], ["g"]),
        node("MatMul", ["g", "middle"], ["m"], name="middle"),
        node("Relu", ["m"], ["r"]),
        node("MatMul", ["r", "last"], ["l"], name="last"),
        node("Add", ["l", "mixed"], ["y"]),
    ]
    groups = groups_of(onnx.load(saved(tmp_path / "model.onnx", nodes, constants, "y")), constants.keys())
    assert {group.name: group.products for group in groups} == {
        "before GELU, layer 1": ("query", "wide"),
        "after GELU, layer 1": ("middle",),
        "after ReLU, layer 1": ("last",),
    }


# What a GPU gets: a tiny BERT, quantized by ModelOpt


@dataclass(frozen=True)
class Quantized:
    """The two-class BERT in FP32, in FP16 and with all its weight MatMuls in INT8."""

    case: Exported
    int8: Path
    fp16: Path
    data: Sequence[Arrays]


@pytest.fixture(scope="session")
def bert(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    """Made once: ModelOpt takes its time to start."""
    case, folder = exported("bert-2"), tmp_path_factory.mktemp("modelopt")
    data = [case.batch([text]) for text in sentences(16, seed=6)]
    int8_from_onnx(case.file, folder / "int8.onnx", data)
    fp16_from_onnx(case.file, folder / "fp16.onnx", data)
    return Quantized(case, folder / "int8.onnx", folder / "fp16.onnx", data)


def test_modelopts_graph_has_the_groups_of_the_graph_it_came_from(bert: Quantized) -> None:
    before, after = onnx.load(bert.case.file), onnx.load(bert.int8)
    names = quantized_products(after)
    assert names == [node.name for node in weighted_matmuls(before)]
    assert groups_of(after, names) == groups_of(before, names)


def test_what_a_candidate_leaves_out_is_fp16_and_the_rest_int8(bert: Quantized, tmp_path: Path) -> None:
    candidates = search(bert.case.file, bert.int8, bert.data, batches=4).candidates
    assert len(candidates) == len(NAMES)
    activations = 2 * LAYERS  # products of two of them
    for candidate in candidates[:: len(candidates) // 4]:
        without(bert.int8, tmp_path / "model.onnx", candidate.products)
        shares = weight_shares(tmp_path / "model.onnx")
        assert shares == pytest.approx({"int8": candidate.share, "float16": 1 - candidate.share}, abs=2e-4)
        int8 = 6 * LAYERS - len(candidate.products)
        types = Counter(network_types(trt, (tmp_path / "model.onnx").read_bytes()))
        assert types == {"INT8": int8, "HALF": 8 * LAYERS - int8 + 2}  # pooler and classifier
        assert types["HALF"] >= activations


def test_without_any_int8_left_the_answers_are_the_fp16_graphs(bert: Quantized, tmp_path: Path) -> None:
    without(bert.int8, tmp_path / "model.onnx", quantized_products(onnx.load(bert.int8)))
    assert weight_shares(tmp_path / "model.onnx") == {"float16": 1.0}
    batch = bert.case.batch(sentences(20, seed=7))
    full, half, int8, back = (run(file, batch) for file in (bert.case.file, bert.fp16, bert.int8, tmp_path / "model.onnx"))
    assert distance(back, half) < 3 * distance(half, full) < 0.01
    assert distance(int8, full) > 10 * distance(back, full)
