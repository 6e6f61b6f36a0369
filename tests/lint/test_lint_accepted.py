"""What Triton takes is not complained of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from lintmodels import BATCHED, chain, ensemble, joined, lone, plain
from lintplace import (
    CLASSIFY,
    CPU,
    ENGINE,
    ENSEMBLE,
    INPUTS,
    MANIFEST,
    ONNXRUNTIME,
    TENSORRT,
    added,
    both,
    edited,
    linted,
    replaced,
    summary,
    write_graph,
    write_text,
)

Change = Callable[[Path], object]
FLOAT = onnx.TensorProto.FLOAT
TYPE_FP16, TYPE_FP32 = 10, 11


def onnx_model(rest: str, dims: tuple[int | str, ...], place: str = "lone/1/model.onnx") -> Change:
    """A model of ONNX Runtime from X to Y, FP32 both."""

    def apply(repository: Path) -> None:
        write_graph(repository / place, {"X": (FLOAT, dims)}, {"Y": (FLOAT, dims)})
        tensors = "".join(
            f'{kind} {{ name: "{name}" data_type: TYPE_FP32 {rest} }}\n' for kind, name in (("input", "X"), ("output", "Y"))
        )
        write_text(repository, {"lone/config.pbtxt": f'name: "lone"\nbackend: "onnxruntime"\n{BATCHED}\n{tensors}'})

    return apply


def fixed_batch_in_python(repository: Path) -> None:
    write_graph(repository / ENGINE / "model.cpu.onnx", inputs=INPUTS | {"input_ids": (onnx.TensorProto.INT32, (1, "length"))})
    (repository / MANIFEST).unlink()
    for path in (ENSEMBLE, CPU, TENSORRT, ONNXRUNTIME):
        edited(path, lambda config: setattr(config, "max_batch_size", 1))(repository)
        edited(path, lambda config: config.ClearField("model_warmup"))(repository)
    edited(TENSORRT, lambda config: config.dynamic_batching.ClearField("preferred_batch_size"))(repository)


ACCEPTED: dict[str, Change] = {
    "an optional input is not mapped":
        edited(CLASSIFY, lambda config: config.input.add(name="T", data_type=11, dims=[1], optional=True)),
    "steps stand in any order": added(chain(("A", "Y"), ("X", "A"))),
    "an output is an input": edited(ENSEMBLE, lambda config: config.output.add(name="TEXT", data_type=13, dims=[1])),
    "a step without batches takes the batch as a dimension":
        added(joined("whole", "rows") | plain("whole", "[-1, 2]", "[-1, 2]", "") | plain("rows", "[2]", "[2]")),
    "an ensemble is a step": added(ensemble("outer", [("chain", "X", "Y")]) | chain(("X", "Y"))),
    "an ensemble that is a step keeps its answers": both(
        added(ensemble("outer", [("chain", "X", "Y")]) | chain(("X", "Y"))),
        edited("chain/config.pbtxt", lambda config: setattr(config.response_cache, "enable", True))),
    "a queue without a limit is behind one that has one":
        added(joined("works", "works_on") | plain("works", "[2]", "[2]")
              | plain("works_on", "[2]", "[2]", "max_batch_size: 32 dynamic_batching { }")),
    "rows stay even through further steps": added(
        joined("pads", "works", "works_on", dims="[-1]")
        | plain("pads", "[-1]", "[-1]", "max_batch_size: 32 sequence_batching { }", step='{"buckets": [8, 16]}')
        | plain("works", "[-1]", "[-1]") | plain("works_on", "[-1]", "[-1]")
    ),
    "images of any size": added(plain("looks", "[3, -1, -1]", "[2]")),
    "a backend of one's own": lone('backend: "mine" platform: "whatever"', file="model.bin"),
    "a backend that batches by itself": lone('backend: "vllm" max_batch_size: 64', file="model.json"),
    "TensorFlow by platform": lone('platform: "tensorflow_savedmodel"', file="model.savedmodel"),
    "platform and backend agree": lone('backend: "tensorrt" platform: "tensorrt_plan"', file="model.plan"),
    "a file of another name": lone('backend: "python" default_model_filename: "main.py"', file="main.py"),
    "all versions": lone('backend: "python" version_policy { all { } }'),
    "version 0": lambda at: (at / "sentiment/1").rename(at / "sentiment/0"),
    "a count left out, and a warmup's written 0": both(
        edited(TENSORRT, lambda config: config.instance_group[0].ClearField("count")),
        replaced(ONNXRUNTIME, "batch_size: 1", "batch_size: 1 count: 0"),
    ),
    "a scalar by reshape": onnx_model("dims: [1] reshape { shape: [] }", ("batch",)),
    "a large model is a folder": onnx_model("dims: [4]", ("batch", 4), "lone/1/model.onnx/model.onnx"),
    "fixed here, free in the graph": onnx_model("dims: [4]", ("batch", "any")),
    "weights in a file beside it": both(
        lambda at: write_graph(at / ENGINE / "model.onnx", data_file="weights"), added({f"{ENGINE}/weights": ""})
    ),
    "one row at a time in Python": fixed_batch_in_python,
    "an artefact elsewhere":
        edited(CLASSIFY, lambda config: setattr(config.parameters["artefact"], "string_value", "/models/x.onnx")),
}  # fmt: skip


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_triton_takes_is_not_complained_of(repository: Path, change: Change) -> None:
    assert linted(repository, change) == []


def test_a_row_of_batch_one_is_still_fixed_for_onnx_runtime(repository: Path) -> None:
    change = onnx_model("dims: [4]", (1, 4))
    found = linted(repository, change, replaced("lone/config.pbtxt", "max_batch_size: 32", "max_batch_size: 1"))
    assert summary(found) == [("error", "onnx-batch-fixed", "lone/config.pbtxt", "max_batch_size")]


@pytest.mark.parametrize(
    "source",
    [
        "class TritonPythonModel:\n    pass\n",
        "TritonPythonModel = make()\n",
        "TritonPythonModel: type = make()\n",
        "from steps import TritonPythonModel\n",
        "from steps import Model as TritonPythonModel\n",
        "from steps import *\n",
        "try:\n    from fast import TritonPythonModel\nexcept ImportError:\n    class TritonPythonModel: ...\n",
        "def model():\n    return '\\d'\n\nTritonPythonModel = model()\n",
    ],
    ids=["class", "assigned", "annotated", "imported", "renamed", "star", "in-try", "odd-escape"],
)
def test_any_way_to_define_the_class_will_do(repository: Path, source: str) -> None:
    assert linted(repository, added({"sentiment_classify/1/model.py": source})) == []


@pytest.mark.parametrize(
    "source", ["# TritonPythonModel\n", "x = 'TritonPythonModel'\n", "TritonPythonModel: type\n", "TritonPythonModel\n"]
)
def test_a_mention_does_not_define_the_class(repository: Path, source: str) -> None:
    (found,) = linted(repository, added({"sentiment_classify/1/model.py": source}))
    assert found.rule == "python-class-missing"
