"""The exported graph is the model: checked here against PyTorch, and by the build against the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import numpy_helper
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tiny_models import sentences
from tritonsmith_build.errors import SmithError
from tritonsmith_build.modalities.texts import TEXTS, mixed_lengths
from tritonsmith_build.stages.export import onnx_from_graph
from tritonsmith_build.stages.verify import shapes_to_verify, verify
from tritonsmith_build.tasks import TASKS
from workbench import Exported, some_facts, write_spec

CLASSIFIERS = ["bert-2", "roberta-3", "distilbert-5", "multi-label"]
ALL = [*CLASSIFIERS, "mean", "cls"]


def run(file: Path, batch: dict[str, Any]) -> Any:
    """The one output of an ONNX file."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, batch)
    return output


def verified(sample: Exported, file: Path | None = None, *, max_batch_size: int = 4) -> list[dict[str, Any]]:
    """Run the stage."""
    samples = sample.samples(sentences(9))
    return verify(sample.graph, file or sample.file, samples, sample.shapes, max_batch_size=max_batch_size)


# Against transformers and sentence-transformers, which know nothing of ours


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_onnx_gives_the_logits_of_transformers(exported: Callable[[str], Exported], name: str) -> None:
    case, texts = exported(name), sentences(7, seed=2)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(case.model).eval()
    inputs = transformers.AutoTokenizer.from_pretrained(case.model)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).logits.numpy()
    assert (
        np.ptp(expected, axis=0).min() > 0.05
    )  # else the texts' answers would be too alike for the next line to mean anything
    np.testing.assert_allclose(run(case.file, case.batch(texts)), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "cls"])
def test_onnx_gives_the_vectors_of_sentence_transformers(exported: Callable[[str], Exported], name: str) -> None:
    case, texts = exported(name), sentences(7, seed=2)
    transformer = Transformer(str(case.model), max_seq_length=32)
    reference = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode=name)], device="cpu")
    np.testing.assert_allclose(run(case.file, case.batch(texts)), reference.encode(texts), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_a_row_without_a_single_token_leaves_all_others_alone_and_finite(
    exported: Callable[[str], Exported], name: str
) -> None:
    case = exported(name)
    batch = case.batch(sentences(3), length=16)
    alone = run(case.file, batch)
    empty = {key: np.vstack([array, np.full_like(array[:1], 0)]) for key, array in batch.items()}
    output = run(case.file, empty)
    with torch.inference_mode():
        expected = case.graph(**{key: torch.from_numpy(array) for key, array in empty.items()}).numpy()
    assert np.isfinite(output).all()
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_allclose(output[:3], alone, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_padding_and_neighbours_do_not_change_an_answer(exported: Callable[[str], Exported], name: str) -> None:
    case, texts = exported(name), sentences(5, seed=3)
    together = run(case.file, case.batch(texts, length=32))
    single = np.concatenate([run(case.file, case.batch([text])) for text in texts])
    np.testing.assert_allclose(together, single, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [3, 32])
def test_batch_and_length_are_free(exported: Callable[[str], Exported], rows: int, length: int) -> None:
    case = exported("bert-2")
    assert run(case.file, case.batch(["good"] * rows, length=length)).shape == (rows, 2)


# What the file says of itself


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_int32_and_the_output_is_fp32(exported: Callable[[str], Exported], name: str) -> None:
    case = exported(name)
    graph = onnx.load(case.file).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    output = "pooled" if name in ("mean", "cls") else "logits"
    assert types == dict.fromkeys(case.facts.inputs, onnx.TensorProto.INT32) | {output: onnx.TensorProto.FLOAT}
    assert [value.name for value in graph.input] == list(case.facts.inputs)


@pytest.mark.parametrize("name", ["bert-2", "mean"])
def test_the_file_holds_no_path_of_the_machine_that_made_it(exported: Callable[[str], Exported], name: str) -> None:
    case = exported(name)
    content = case.file.read_bytes()
    code = [torch.__file__, transformers.__file__, onnx_from_graph.__code__.co_filename]
    places = [Path.home(), Path.cwd(), case.model.parent, *(Path(file).parent for file in code)]
    assert [place for place in places if str(place).encode() in content] == []
    assert b"site-packages" not in content


def test_weights_lie_inside_the_file(exported: Callable[[str], Exported]) -> None:
    case = exported("bert-2")
    assert sorted(path.name for path in case.file.parent.iterdir()) == ["facts.json", "model.onnx", "tokenizer.json"]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in onnx.load(case.file).graph.initializer)


def test_more_weights_than_an_onnx_file_holds_are_refused(tmp_path: Path) -> None:
    graph: Any = torch.nn.Linear(2**15, 2**15, bias=False, device="meta")  # 4 GiB on paper
    with pytest.raises(SmithError) as caught:
        onnx_from_graph(graph, TEXTS.axes(some_facts()), TEXTS.dtypes, "logits", tmp_path / "model.onnx")
    assert str(caught.value) == "model.onnx: 4.0 GiB of weights; an ONNX file holds 2 GiB; use a smaller model"
    assert list(tmp_path.iterdir()) == []


# The stage


@pytest.mark.parametrize(
    ("buckets", "max_batch_size", "shapes"),
    [
        ((16, 32, 64, 128), 32, [(1, 16), (16, 64), (32, 128)]),
        ((16, 32), 4, [(1, 16), (2, 32), (4, 32)]),
        ((16,), 2, [(1, 16), (2, 16)]),
    ],
    ids=["four-buckets", "two-buckets", "one-bucket"],
)
def test_the_smallest_a_middle_and_the_largest_shape_are_compared(
    buckets: tuple[int, ...], max_batch_size: int, shapes: list[tuple[int, int]]
) -> None:
    chosen = shapes_to_verify(TEXTS.shapes(some_facts(buckets=buckets)), max_batch_size)
    assert [(rows, shape.name) for rows, shape in chosen] == [(rows, f"{length} tokens") for rows, length in shapes]


@pytest.mark.parametrize("name", ALL)
def test_a_faithful_graph_passes_with_its_figures(exported: Callable[[str], Exported], name: str) -> None:
    figures = verified(exported(name))
    assert [(row["rows"], row["shape"]) for row in figures] == [(1, "16 tokens"), (2, "32 tokens"), (4, "32 tokens")]
    assert all(0 <= row["max_abs_difference"] < 1e-4 for row in figures)


def _plus(value: float) -> Callable[[onnx.ModelProto], None]:
    """Add a value to every logit."""

    def spoil(model: onnx.ModelProto) -> None:
        last = next(node for node in model.graph.node if "logits" in node.output)
        last.output[0] = "right_logits"
        model.graph.initializer.append(numpy_helper.from_array(np.float32([value]), "added"))
        model.graph.node.append(onnx.helper.make_node("Add", ["right_logits", "added"], ["logits"]))

    return spoil


def _blind_to_padding(model: onnx.ModelProto) -> None:
    """Read a mask of ones where the model reads ``attention_mask``."""
    for node in model.graph.node:
        node.input[:] = ["ones" if name == "attention_mask" else name for name in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Equal", ["input_ids", "input_ids"], ["always"]))
    model.graph.node.insert(1, onnx.helper.make_node("Cast", ["always"], ["ones"], to=onnx.TensorProto.INT32))


@pytest.mark.parametrize(
    ("spoil", "shape"),
    [(_plus(2e-4), "1 x 16"), (_plus(float("nan")), "1 x 16"), (_blind_to_padding, "2 x 32")],
    ids=["biased", "not-a-number", "blind-to-padding"],
)
def test_a_graph_that_is_not_the_model_is_caught(
    exported: Callable[[str], Exported], tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], shape: str
) -> None:
    case = exported("bert-2")
    model = onnx.load(case.file)
    spoil(model)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(SmithError) as caught:
        verified(case, tmp_path / "model.onnx")
    said = str(caught.value)
    assert said.startswith("verify: ONNX differs from PyTorch by ")
    assert f" at {shape} tokens, more than 0.0001; " in said
    assert said.endswith("report it with the versions in `tritonsmith doctor`")


# The batches it is done with


def test_the_batches_to_verify_hold_full_rows_and_padded_ones(exported: Callable[[str], Exported]) -> None:
    case = exported("bert-2")
    mask = case.batch(mixed_lengths(["good film", "bad plot"], 4), length=32)["attention_mask"]
    assert mask.sum(axis=1).tolist() == [32, 4, 32, 4]  # [CLS] bad plot [SEP] is four tokens


def test_batches_keep_the_order_of_the_texts(exported: Callable[[str], Exported]) -> None:
    case, texts = exported("bert-2"), sentences(5)
    made = list(case.samples(texts).batches(2))
    assert [len(batch["input_ids"]) for batch in made] == [2, 2, 1]
    tokenizer = transformers.AutoTokenizer.from_pretrained(case.model)
    rows = [row[row != tokenizer.pad_token_id].tolist() for batch in made for row in batch["input_ids"]]
    assert rows == tokenizer(texts)["input_ids"]


def test_a_text_that_serving_would_refuse_is_refused_in_the_gates_data(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    case = exported("bert-2")
    spec = write_spec(tmp_path, input={"buckets": [16, 32], "max_bytes": 8})
    settings = TEXTS.settings(spec, case.facts, TASKS[spec.task])
    with pytest.raises(SmithError) as caught:
        list(replace(case.samples(["good", "good film, bad plot"]), settings=settings).batches(2))
    assert str(caught.value) == (
        "a text of the gate or calibration data cannot be used (item 1: 19 bytes of text; at most 8 are taken, "
        "shorten or split it); correct the data"
    )
