"""Architectures of text and of images, tiny and random, in every precision that GPUs take: exported, converted, parsed, built.

TensorRT-RTX does the last two without a GPU. Its parsed network says in which type each product works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorrt_rtx as trt
import torch
from onnx import TensorProto
from tensorrt_support import TYPES, Arrays, convert, for_ampere, run, run_simulated
from tiny_models import IMAGE, LAYERS, clip_text, clip_vision, sentences, vit
from tritonsmith_build.gpu.plan import network_types, plan_from_onnx
from tritonsmith_build.gpu.profiles import Profile
from tritonsmith_build.modalities.texts import TEXTS
from tritonsmith_build.stages.export import onnx_from_graph
from tritonsmith_build.stages.graphs import ImageGraph, TextGraph
from workbench import Exported, some_facts

ROWS, LENGTH = 12, 32


@dataclass(frozen=True)
class Products:
    """How many matrix products a family has: in each of its layers by a weight, and after all layers."""

    layer: int
    head: int

    def expected(self, precision: str) -> dict[str, int]:
        """By type. Each layer also has two products of activations; INT8 leaves out these, one after GELU, and the head."""
        total, int8 = LAYERS * (self.layer + 2) + self.head, LAYERS * (self.layer - 1)
        return {"INT8": int8, "HALF": total - int8} if precision == "int8" else {TYPES[precision]: total}


FAMILIES = {
    "bert-2": Products(6, 2),
    "distilbert-5": Products(6, 2),
    "roberta-3": Products(6, 2),
    "modernbert-2": Products(4, 2),  # one product for query, key and value, one for both halves of the GeGLU
    "vit": Products(6, 1),
    "clip-vision": Products(6, 1),
    "clip-text": Products(6, 1),
}
TASKS = {
    "tokens": Products(6, 1),
    "spans": Products(6, 1),
    "masks": Products(6, 3),  # the head has two, and one picks the masks
    "max": Products(6, 0),
    "last": Products(6, 0),
}
"""What else a text's engine may answer than one row of logits."""
CASES = [(name, precision) for name in FAMILIES for precision in ("fp32", "fp16", "int8")]
CASES += [(name, precision) for name in TASKS for precision in ("fp32", "fp16")]
CASES += [(name, "bf16") for name in ("bert-2", "modernbert-2", "vit")]
# At every change: three families whose layers differ, an answer for each token, and in FP32, where nothing is converted and
# TensorRT takes longest, and in BF16 one each. The others have the same layers, or differ after the last of them.
_ALWAYS = {
    *(("bert-2", precision) for precision in ("fp32", "bf16", "fp16", "int8")),
    *((name, precision) for name in ("modernbert-2", "vit") for precision in ("fp16", "int8")),
    ("tokens", "fp16"),
}
BUILT = [pytest.param(*case, marks=() if case in _ALWAYS else pytest.mark.full, id="-".join(case)) for case in CASES]
NEAR = {"fp16": 0.005, "bf16": 0.03, "int8": 0.1}
"""The largest difference from FP32, of the range of all answers."""


@dataclass(frozen=True)
class Case:
    """An exported graph, what calibrates it, and a batch to compare with: of texts the first row is padding alone."""

    file: Path
    calibration: list[Arrays]
    batch: Arrays

    @property
    def real(self) -> slice:
        return slice(1 if "attention_mask" in self.batch else 0, None)


def export_images(model: torch.nn.Module, output: str, file: Path) -> None:
    graph = ImageGraph(model, lambda answer, inputs: getattr(answer, output)).eval()
    onnx_from_graph(graph, {"pixel_values": IMAGE}, {"pixel_values": "TYPE_FP32"}, output, file)


def export_clip_text(file: Path) -> None:
    axes = TEXTS.axes(some_facts(inputs=("input_ids", "attention_mask")))
    graph = TextGraph(clip_text(), lambda answer, inputs: answer.text_embeds).eval()
    onnx_from_graph(graph, axes, TEXTS.dtypes, "text_embeds", file)


def images(rows: int, *, seed: int) -> Arrays:
    return {"pixel_values": np.random.default_rng(seed).standard_normal((rows, *IMAGE)).astype(np.float32)}


def token_ids(rows: int, *, seed: int, length: int = LENGTH) -> Arrays:
    """Rows that begin with 2, end with 3 and are filled up with 0."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(4, 200, (rows, length)).astype(np.int32)
    ends = draw.integers(4, length, rows)
    mask = (np.arange(length) <= ends[:, None]).astype(np.int32)
    ids[:, 0], ids[np.arange(rows), ends] = 2, 3
    return {"input_ids": ids * mask, "attention_mask": mask}


OTHERS: dict[str, tuple[Callable[[Path], None], Callable[..., Arrays]]] = {
    "vit": (lambda file: export_images(vit(), "logits", file), images),
    "clip-vision": (lambda file: export_images(clip_vision(), "image_embeds", file), images),
    "clip-text": (export_clip_text, token_ids),
}
"""What the project has no task for: how it is exported, and what it reads."""


@pytest.fixture(scope="session")
def case(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    @cache
    def made(name: str) -> Case:
        if name in OTHERS:
            export, data = OTHERS[name]
            file, batch = tmp_path_factory.mktemp(name) / "model.onnx", data(ROWS, seed=1)
            export(file)
            calibration = [data(1, seed=seed) for seed in range(10, 50)]
        else:
            text = exported(name)
            file, batch = text.file, text.batch(sentences(ROWS, seed=4), length=LENGTH)
            batch["input_ids"][:, 2] = text.facts.mask_id if text.facts.mask_token else batch["input_ids"][:, 2]
            calibration = [text.batch([sentence]) for sentence in sentences(40, seed=3)]
        if "attention_mask" in batch:
            batch["attention_mask"][0] = 0
        return Case(file, calibration, batch)

    return made


@pytest.fixture(scope="session")
def converted(case: Callable[[str], Case], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    @cache
    def made(name: str, precision: str) -> Path:
        return convert(precision, case(name).file, tmp_path_factory.mktemp(name), case(name).calibration)

    return made


@pytest.mark.parametrize(("name", "precision"), BUILT)
def test_a_graph_is_built_and_its_products_have_the_precisions_types(
    case: Callable[[str], Case], converted: Callable[[str, str], Path], name: str, precision: str
) -> None:
    content = converted(name, precision).read_bytes()
    assert network_types(trt, content) == (FAMILIES | TASKS)[name].expected(precision)
    shapes = {name: array.shape[1:] for name, array in case(name).batch.items()}
    assert len(plan_from_onnx(trt, content, [Profile(shapes, 2, ROWS)], configure=for_ampere)) > 100_000


@pytest.mark.parametrize(("name", "precision"), [case for case in BUILT if case.values[1] in NEAR])
def test_the_answers_are_near_those_of_fp32(
    case: Callable[[str], Case], converted: Callable[[str, str], Path], name: str, precision: str
) -> None:
    """As ONNX Runtime computes them, where it can, and with every tensor rounded to its 16 bits."""
    given, file = case(name), converted(name, precision)
    expected = run(given.file, given.batch)
    answers = [run_simulated(file, given.batch)] + ([] if precision == "bf16" else [run(file, given.batch)])
    for actual in answers:
        assert np.isfinite(actual).all()
        difference = np.abs(actual - expected)[given.real].max() / np.ptp(expected[given.real])
        assert 1e-6 < difference < NEAR[precision]


@pytest.mark.parametrize(("precision", "kind"), [("fp16", "FLOAT16"), ("bf16", "BFLOAT16"), ("int8", "FLOAT16")])
def test_the_convolution_of_an_images_patches_is_not_quantized(
    converted: Callable[[str, str], Path], precision: str, kind: str
) -> None:
    graph = onnx.load(converted("vit", precision)).graph
    types = {tensor.name: TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}
    assert [types[node.input[1]] for node in graph.node if node.op_type == "Conv"] == [kind]


def test_what_the_angles_of_rotary_positions_are_computed_from_stays_in_fp32(converted: Callable[[str, str], Path]) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(converted("modernbert-2", "bf16")))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    turns = [node for node in model.graph.node if node.op_type in ("Sin", "Cos")]
    assert len(turns) == 4  # for each of two attentions its own frequencies
    assert {types[name] for node in turns for name in (*node.input, *node.output)} == {TensorProto.FLOAT}
