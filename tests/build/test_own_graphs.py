"""A graph that somebody else exported: read, fitted to the interface of an engine, and refused where it does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime import InferenceSession
from tiny_graphs import IMAGES, SUMS, TABLE, TOKENS, save_graph, save_texts
from tiny_models import FAMILIES, edit_json
from transformers import ViTImageProcessorPil
from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.new import new
from tritonsmith_build.origin import GIVEN, stage_function
from tritonsmith_build.reduced import said_of_given
from tritonsmith_build.source import locate
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.stages.read import read
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.targets import TARGETS
from tritonsmith_build.tasks import TASKS
from workbench import write_spec

NAMED: dict[str, Any] = {"input": {"max_length": 16}, "output": {"labels": ["SAD", "CALM", "GLAD"]}}
SOURCE = {"path": "model", "onnx": "model.onnx"}
IDS = np.array([[5, 9, 7, 0], [8, 0, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.int32)
ROWS = TABLE[IDS] * MASK[..., None]
"""What the tiny graphs look up for them."""


def spec_of(folder: Path, task: str = "text-classification", **tables: Any) -> PipelineSpec:
    return write_spec(folder, **{"task": task, "source": SOURCE, **NAMED, **tables})


def facts_of(spec: PipelineSpec) -> Any:
    """As the build reads them."""
    folder = spec.folder / "read"
    folder.mkdir()
    read(spec, locate(spec), folder)
    return TASKS[spec.task].modality.facts.model_validate_json((folder / "facts.json").read_text())


def fitted(spec: PipelineSpec) -> Path:
    """The engine's graph, as the build makes it."""
    source, facts, task = locate(spec), facts_of(spec), TASKS[spec.task]
    file = spec.folder / "fitted" / "model.onnx"
    file.parent.mkdir()
    original = stage_function(GIVEN.original)(spec, source, facts)
    stage_function(GIVEN.write)(original, task.modality.axes(facts), task.modality.dtypes, task.engine_output, file)
    return file


def run(file: Path, **batch: Any) -> NDArray[Any]:
    (output,) = InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, batch)
    return np.asarray(output)


def error_of(spec: PipelineSpec) -> str:
    with pytest.raises(SmithError) as caught:
        fitted(spec)
    return str(caught.value).removeprefix(f"{spec.file}: ")


# What is read


def test_without_a_config_the_spec_and_the_graph_say_all(tmp_path: Path) -> None:
    save_texts(tmp_path / "model")
    facts = facts_of(spec_of(tmp_path))
    assert (facts.model_type, facts.width, facts.labels) == ("onnx", 3, ("SAD", "CALM", "GLAD"))
    assert (facts.activation, facts.max_length, facts.inputs) == ("softmax", 16, ("input_ids", "attention_mask"))
    assert facts.weights == {"model.onnx": sha256(tmp_path / "model" / "model.onnx")}


def test_a_config_that_is_there_is_read(tmp_path: Path) -> None:
    folder = save_texts(tmp_path / "model")
    said = {"model_type": "novel", "id2label": {"2": "C", "0": "A", "1": "B"}, "max_position_embeddings": 24}
    (folder / "config.json").write_text(json.dumps({**said, "problem_type": "multi_label_classification"}))
    facts = facts_of(spec_of(tmp_path, input={"max_length": 24}, output={}))
    assert (facts.model_type, facts.labels, facts.activation, facts.positions) == ("novel", ("A", "B", "C"), "sigmoid", 24)


def test_the_tokenizers_file_says_where_texts_are_cut_and_what_fills_them(tmp_path: Path) -> None:
    folder = save_texts(tmp_path / "model", TOKENS)
    tokenizer = FAMILIES["roberta"].tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(12)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    facts = facts_of(spec_of(tmp_path, "token-classification", input={}))
    assert (facts.max_length, facts.pad_id) == (12, tokenizer.pad_token_id)
    assert facts.pad_id == 1


# What is made of it


@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_the_fitted_graph_has_the_interface_of_an_engine_and_the_answers_of_the_graph(tmp_path: Path, kind: str) -> None:
    save_texts(tmp_path / "model", SUMS.replace("int64[", f"{kind}["))
    file = fitted(spec_of(tmp_path))
    graph = onnx.load(file).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    assert list(types.items()) == [
        ("input_ids", TensorProto.INT32),
        ("attention_mask", TensorProto.INT32),
        ("logits", TensorProto.FLOAT),
    ]
    names = [node.name for node in graph.node]
    assert len({*names, ""}) == len(names) + 1  # those of the given graph have none
    np.testing.assert_allclose(run(file, input_ids=IDS, attention_mask=MASK), ROWS.sum(1), atol=1e-6)


def test_names_inside_a_graph_may_be_those_of_the_engine(tmp_path: Path) -> None:
    text = SUMS.replace("kept", "logits").replace("rows", "fit_logits")
    save_texts(tmp_path / "model", text)
    np.testing.assert_allclose(run(fitted(spec_of(tmp_path)), input_ids=IDS, attention_mask=MASK), ROWS.sum(1), atol=1e-6)


def test_token_types_are_taken_where_the_graph_takes_them(tmp_path: Path) -> None:
    text = SUMS.replace("(int64", "(int64[batch, seq] token_type_ids, int64", 1)
    save_texts(tmp_path / "model", text)
    graph = onnx.load(fitted(spec_of(tmp_path))).graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]


def test_a_branch_inside_a_graph_reads_what_it_read(tmp_path: Path) -> None:
    twice = """
  size = Size(input_ids)
  much = Greater(size, none)
  scores = If(much) <
    then_branch = then () => (float[batch, 3] double) { double = Add(once, once) },
    else_branch = otherwise () => (float[batch, 3] single) { single = Identity(once) }
  >
}"""
    save_texts(tmp_path / "model", SUMS.replace("scores = R", "once = R").replace("\n}", twice))
    file = fitted(spec_of(tmp_path))
    np.testing.assert_allclose(run(file, input_ids=IDS, attention_mask=MASK), 2 * ROWS.sum(1), atol=1e-6)


def test_an_answer_for_each_token_stays_one(tmp_path: Path) -> None:
    save_texts(tmp_path / "model", TOKENS)
    file = fitted(spec_of(tmp_path, "token-classification"))
    assert onnx.load(file).graph.output[0].name == "token_logits"
    np.testing.assert_allclose(run(file, input_ids=IDS, attention_mask=MASK), ROWS, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "output", "wanted"),
    [
        (TOKENS, {"pooling": "mean"}, ROWS.sum(1) / [[3], [1]]),
        (TOKENS, {"pooling": "cls"}, ROWS[:, 0]),
        (TOKENS, {}, ROWS.sum(1) / [[3], [1]]),
        (SUMS, {}, ROWS.sum(1)),
    ],
    ids=["mean", "cls", "by default", "by itself"],
)
def test_vectors_are_pooled_behind_a_graph_that_does_not(tmp_path: Path, text: str, output: Any, wanted: Any) -> None:
    save_texts(tmp_path / "model", text)
    file = fitted(spec_of(tmp_path, "feature-extraction", output=output))
    np.testing.assert_allclose(run(file, input_ids=IDS, attention_mask=MASK), wanted, atol=1e-6)


def test_of_several_outputs_the_fitting_one_is_taken_or_the_named(tmp_path: Path) -> None:
    text = SUMS.replace("=> (", "=> (float[batch, seq, 3] rows, float[batch, 3] double, ")
    save_texts(tmp_path / "model", text.replace("\n}", "\n  double = Add(scores, scores)\n}"))
    file = fitted(spec_of(tmp_path, source={**SOURCE, "output": "double"}))
    np.testing.assert_allclose(run(file, input_ids=IDS, attention_mask=MASK), 2 * ROWS.sum(1), atol=1e-6)


def test_weights_beside_the_graph_are_hashed_and_come_inside(tmp_path: Path) -> None:
    folder = save_texts(tmp_path / "model", external=True)
    spec = spec_of(tmp_path)
    assert locate(spec).weights == {name: sha256(folder / name) for name in ("model.onnx", "weights.bin")}
    file = fitted(spec)
    assert {path.name for path in file.parent.iterdir()} == {"model.onnx", "given.json"}
    np.testing.assert_allclose(run(file, input_ids=IDS, attention_mask=MASK), ROWS.sum(1), atol=1e-6)


def test_of_the_hub_the_graph_is_asked_for_and_then_what_it_keeps_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = save_texts(tmp_path / "model", external=True), []

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    source = locate(spec_of(tmp_path, source={"hub": "org/model", "revision": "8c1f9ab", "onnx": "model.onnx"}))
    assert set(source.weights) == {"model.onnx", "weights.bin"}
    assert "model.onnx" in asked[0]
    assert not {"*.safetensors", "pytorch_model*.bin"} & set(asked[0])  # of a model that has both, one is enough
    assert asked[1:] == [["weights.bin"]]


def test_what_an_exporter_noted_is_not_served(tmp_path: Path) -> None:
    file = save_texts(tmp_path / "model") / "model.onnx"
    model = onnx.load(file)
    model.graph.node[0].metadata_props.add(key="stack", value="/home/somebody/export.py")
    onnx.save(model, file)
    assert b"somebody" in file.read_bytes()
    assert b"somebody" not in fitted(spec_of(tmp_path)).read_bytes()


# What is refused


def swapped(old: str, new: str, text: str = SUMS) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "tables", "said"),
    [
        (swapped("[batch, seq] input_ids", "[4, seq] input_ids"), {},
         "source.onnx: its input input_ids is int64 [4, 'seq']: the batch is fixed at 4; export it with a dynamic batch"),
        (swapped("[batch, seq] input_ids", "[batch, 16] input_ids"), {},
         "source.onnx: its input input_ids is int64 ['batch', 16]; [batch, sequence] is needed; "
         "export it with that dimension dynamic"),
        (swapped("input_ids", "tokens"), {},
         "source.onnx: it takes attention_mask, tokens, and no input_ids; export it with the inputs input_ids and"),
        (swapped("attention_mask", "mask_of"), {}, "source.onnx: it takes mask_of, input_ids, and no attention_mask; export"),
        (swapped("(int64", "(int64[batch, seq] position_ids, int64"), {},
         "source.onnx: it takes position_ids, which nothing here makes; export it so that it takes input_ids, "
         "attention_mask alone"),
        (swapped("int64[batch, seq] attention", "float[batch, seq] attention"), {},
         "source.onnx: its input attention_mask is float ['batch', 'seq']; int32 or int64 is needed; export it so"),
        (swapped("[batch, seq] attention", "[batch, seq, 1] attention").replace("(mask, last)", "(mask, middle)"), {},
         "source.onnx: its input attention_mask is int64 ['batch', 'seq', 1]; [batch, sequence] is needed; export it so"),
        (TOKENS, {},
         "source.onnx: the graph gives scores ['batch', 'seq', 3]; text-classification needs floats of 2 dimensions; "
         "export the model with the head of that task"),
        (swapped("\n}", "\n  other = Identity(scores)\n}").replace("=> (", "=> (float[batch, 3] other, "), {},
         "source.output: the graph gives other ['batch', 3], scores ['batch', 3]; name the one that is meant"),
        (SUMS, {"source": {**SOURCE, "output": "logits"}},
         "source.output: the graph has no output logits; it gives scores ['batch', 3]"),
        (swapped("scores = R", "raw = R").replace("\n}", "\n  scores = Softmax(raw)\n}"), {},
         "source.onnx: it ends with Softmax: what it gives are scores, not logits; export the model without it"),
        (swapped("(float[batch, 3]", "(float[b, c]").replace("(kept, middle)", "(kept, first)"), {},
         "source.onnx: scores is [8, 3] for 2 rows of 8; export it with a dynamic batch"),
        (SUMS, {"output": {}}, "output.labels: nothing says what the graph's 3 classes are called; name all 3, in the order"),
        (SUMS, {"output": {"labels": ["A", "B"]}}, "output.labels: 2 labels for a graph that gives 3 scores; name all 3"),
        (SUMS, {"input": {}}, "input.max_length: the model names no greatest length; set it"),
        (SUMS, {"task": "question-answering", "output": {}},
         "source.onnx: question-answering cannot be served from an ONNX graph; give the model's weights"),
        (SUMS, {"task": "text-ranking", "output": {}},
         "source: it gives 3 scores a document; give a cross-encoder with one output"),
        (TOKENS, {"task": "feature-extraction", "output": {"pooling": "max"}},
         "source.onnx: vectors of an ONNX graph are not pooled by max; export one that pools by itself; mean and cls"),
        (swapped('"" : 17', '"" : 99'), {}, "source.onnx: ONNX Runtime cannot load it ("),
        (swapped("  kept", "  small, scale, zero = DynamicQuantizeLinear(rows)\n  kept"), {},
         "source.onnx: it takes scales from each batch (DynamicQuantizeLinear): a text's answer would depend on"),
    ],
    ids=["fixed batch", "fixed length", "other names", "no mask", "more inputs", "other type", "other rank", "other output",
         "two outputs", "no such output", "scores", "batch inside", "no labels", "few labels", "no length", "other task",
         "ranking", "pooling", "opset", "dynamic"],
)  # fmt: skip
def test_a_graph_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path, text: str, tables: Any, said: str) -> None:
    tables = dict(tables)
    save_texts(tmp_path / "model", text)
    assert error_of(spec_of(tmp_path, tables.pop("task", "text-classification"), **tables)).startswith(said)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_bytes(b"\xff" * 100), "cannot be read as ONNX ("),
        (lambda file: file.write_bytes(b""), "holds no graph; copy or download it again"),
    ],
    ids=["scrambled", "empty"],
)
def test_a_damaged_graph_is_named(tmp_path: Path, damage: Any, said: str) -> None:
    file = save_texts(tmp_path / "model") / "model.onnx"
    damage(file)
    assert error_of(spec_of(tmp_path)).startswith(f"{file}: {said}")


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (
            "model.onnx",
            "source.onnx: {folder} holds no model.onnx; correct source.onnx, or leave it out where there",
        ),
        ("weights.bin", "source.onnx: model.onnx keeps weights in weights.bin, which is not there; copy it beside the graph"),
        ("tokenizer.json", "source: {folder} holds no tokenizer.json; put the model's tokenizer.json beside the graph"),
    ],
)
def test_what_lacks_beside_a_graph_is_named(tmp_path: Path, lost: str, said: str) -> None:
    folder = save_texts(tmp_path / "model", external=True)
    (folder / lost).unlink()
    assert error_of(spec_of(tmp_path)).startswith(said.format(folder=folder))


def test_graphs_under_other_names_are_named(tmp_path: Path) -> None:
    folder = save_texts(tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "small.onnx")
    assert error_of(spec_of(tmp_path)).endswith("holds no model.onnx; there are onnx/small.onnx")
    assert fitted(spec_of(tmp_path, source={**SOURCE, "onnx": "onnx/small.onnx"})).is_file()


def test_a_hash_pins_the_graph(tmp_path: Path) -> None:
    file = save_texts(tmp_path / "model") / "model.onnx"
    assert locate(spec_of(tmp_path, source={**SOURCE, "sha256": sha256(file)})).weights
    other = error_of(spec_of(tmp_path, source={**SOURCE, "sha256": "0" * 64}))
    assert other.startswith(f"source.sha256: model.onnx has SHA-256 {sha256(file)}, the spec pins 000")


# Of images


def save_photos(folder: Path, text: str = IMAGES) -> None:
    ViTImageProcessorPil(size={"height": 24, "width": 32}).save_pretrained(folder)
    save_graph(folder / "model.onnx", text)


def image_spec(folder: Path) -> PipelineSpec:
    return write_spec(folder, "photos", task="image-classification", source=SOURCE, output={"labels": list("ABCD")})


def test_a_graph_of_images_may_call_its_input_as_it_likes(tmp_path: Path) -> None:
    save_photos(tmp_path / "model")
    file, pixels = fitted(image_spec(tmp_path)), np.random.default_rng(0).normal(size=(2, 3, 24, 32)).astype(np.float32)
    assert [value.name for value in onnx.load(file).graph.input] == ["pixel_values"]
    np.testing.assert_array_equal(run(file, pixel_values=pixels), run(tmp_path / "model" / "model.onnx", picture=pixels))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("[n, 3, 30, 32]", "its input picture is float ['n', 3, 30, 32]; [batch, 3, 24, 32] is needed; give the size"),
        ("[n, 24, 32, 3]", "its input picture is float ['n', 24, 32, 3]; [batch, 3, 24, 32] is needed; give the size"),
        ("[1, 3, 24, 32]", "its input picture is float [1, 3, 24, 32]: the batch is fixed at 1; export it"),
    ],
    ids=["size", "channels last", "batch"],
)
def test_images_of_another_shape_are_refused(tmp_path: Path, sizes: str, said: str) -> None:
    text = swapped("[n, 3, 24, 32]", sizes, IMAGES)
    if "3]" in sizes:
        text = text.replace("Conv<kernel_shape = [3, 3]>(picture", "Conv<kernel_shape = [3, 3]>(turned").replace(
            "  convolved", "  turned = Transpose<perm = [0, 3, 1, 2]>(picture)\n  convolved"
        )
    save_photos(tmp_path / "model", text)
    assert error_of(image_spec(tmp_path)).startswith(f"source.onnx: {said}")


# What has less than FP32 already

QUANTIZED = swapped("table, input_ids", "again, input_ids").replace(
    "  rows", "  small = QuantizeLinear(table, step)\n  again = DequantizeLinear(small, step)\n  rows"
).replace("=> (float[batch, 3] scores)", "=> (float[batch, 3] scores) <float step = {0.02}>")  # fmt: skip


@pytest.mark.parametrize(
    ("precision", "target", "said"),
    [
        ("int8", "cpu", "engine.precision: the graph is int8 already; leave precision out, or give the graph before"),
        ("fp16", "onnxruntime", "engine.precision: the graph is int8 already; leave precision out"),
        ("fp32", "tensorrt", "source.onnx: the graph is int8 already; TensorRT makes its own of FP32"),
    ],
)
def test_a_quantized_graph_is_made_nothing_else_of(tmp_path: Path, precision: str, target: Any, said: str) -> None:
    save_texts(tmp_path / "model", QUANTIZED)
    spec = spec_of(tmp_path, engine={"precision": precision})
    file = fitted(spec)
    with pytest.raises(SmithError) as caught:
        said_of_given(spec, TARGETS[target], file.parent)
    assert str(caught.value).startswith(f"{spec.file}: {said}")
    served = said_of_given(spec_of(tmp_path), TARGETS["cpu"], file.parent)
    assert served["already"] == "int8"


@pytest.mark.parametrize("convert", ["precision:int8_from_onnx", "gpu_precision:int8_from_onnx"])
def test_a_network_without_a_product_that_int8_takes_is_refused_it(tmp_path: Path, convert: str) -> None:
    file = save_graph(tmp_path / "model.onnx", swapped("scores = MatMul(flat, head)", "scores = Gemm(flat, head)", IMAGES))
    with pytest.raises(SmithError, match=r"^engine\.precision: the network has no MatMul by a weight, and nothing else"):
        stage_function(convert)(file, tmp_path / "int8.onnx", [], leave_out="nothing")


# The spec that `tritonsmith new` writes


def test_new_writes_the_spec_of_a_graph(tmp_path: Path) -> None:
    folder = save_texts(tmp_path / "model")
    made = new(str(folder), task="text-classification", name=None, revision=None, pipelines=tmp_path)
    assert spec_from_file(made.file).source.onnx == "model.onnx"


def test_new_guesses_the_task_of_a_graph_from_the_config_beside_it(tmp_path: Path) -> None:
    folder = save_texts(tmp_path / "model")
    (folder / "config.json").write_text("{}")
    edit_json(folder / "config.json", architectures=["NovelForTokenClassification"], id2label={"0": "A"})
    made = new(str(folder), task=None, name=None, revision=None, pipelines=tmp_path)
    assert (spec_from_file(made.file).task, spec_from_file(made.file).source.onnx) == ("token-classification", "model.onnx")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("model.onnx",), "no task is known for a model that names no architecture; name one: --task "),
        (("a.onnx", "b.onnx"), "holds several graphs: a.onnx, b.onnx; keep one of them there"),
    ],
    ids=["no task", "several"],
)
def test_new_says_what_it_cannot_know_of_a_graph(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    folder = save_texts(tmp_path / "model")
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").unlink()
    for name in names:
        (folder / name).write_bytes(content)
    with pytest.raises(SmithError) as caught:
        new(str(folder), task=None, name=None, revision=None, pipelines=tmp_path)
    assert str(caught.value).startswith(f"{folder}: {said}")
