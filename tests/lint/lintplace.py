"""A good repository to break: the sentiment pipeline's rendered text, with tiny artefacts where a build puts its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonsmith_build.lint import Finding, lint_repository
from tritonsmith_build.lock import facts_from_lock
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.render import rendered

ROOT = Path(__file__).parents[2]
ENSEMBLE = "sentiment/config.pbtxt"
TOKENIZE = "sentiment_tokenize/config.pbtxt"
TENSORRT = "sentiment_engine/config.pbtxt"
CPU = "sentiment_engine/configs/cpu.pbtxt"
ONNXRUNTIME = "sentiment_engine/configs/onnxruntime.pbtxt"
CLASSIFY = "sentiment_classify/config.pbtxt"
ENGINE = "sentiment_engine/1"
MANIFEST = f"{ENGINE}/manifest.json"
IDS = ("input_ids", "attention_mask", "token_type_ids")

Shape = Sequence[int | str]
Tensors = dict[str, tuple[int, Shape]]
INPUTS: Tensors = dict.fromkeys(IDS, (onnx.TensorProto.INT32, ("batch", "length")))
OUTPUTS: Tensors = {"logits": (onnx.TensorProto.FLOAT, ("batch", 2))}


def write_rendered(repository: Path, *names: str) -> None:
    """The text of these pipelines, or of all, as ``tritonsmith render`` writes it."""
    for spec in specs_named(names, ROOT / "pipelines"):
        write_text(repository, rendered(spec, facts_from_lock(spec)))


def write_text(repository: Path, files: Mapping[str, str]) -> None:
    """Write texts by their path inside the repository."""
    for path, text in files.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text, encoding="utf-8")


def write_built(repository: Path) -> None:
    """The sentiment pipeline, which remembers nothing and so is one ensemble, with every artefact that it names."""
    (spec,) = specs_named(("sentiment",), ROOT / "pipelines")
    forgetful = spec.model_copy(update={"serving": spec.serving.model_copy(update={"cache": False})})
    write_text(repository, rendered(forgetful, facts_from_lock(spec)))
    # Where it stands it needs none; faults put it where callers fill it.
    limited = "dynamic_batching {\n  default_queue_policy { max_queue_size: 256 }\n}"
    replaced(CLASSIFY, "dynamic_batching {\n}", limited)(repository)
    write_graph(repository / ENGINE / "model.onnx")
    write_graph(repository / ENGINE / "model.cpu.onnx")
    (repository / ENGINE / "model.plan").write_bytes(b"a plan")
    (repository / "sentiment_tokenize/1/tokenizer.json").write_text("{}")
    made = (f"{ENGINE}/model.cpu.onnx", "sentiment_tokenize/1/tokenizer.json")
    files = {path: {"sha256": "0" * 64, "bytes": (repository / path).stat().st_size} for path in made}
    (repository / MANIFEST).write_text(json.dumps({"targets": {"cpu": {"files": files}}}))


def write_graph(file: Path, inputs: Tensors = INPUTS, outputs: Tensors = OUTPUTS, data_file: str | None = None) -> None:
    """An ONNX file with this interface and nothing in between."""
    weights = onnx.helper.make_tensor("weights", onnx.TensorProto.FLOAT, [1], bytes(4), raw=True)
    if data_file:
        onnx.external_data_helper.set_external_data(weights, data_file)
    listed = {
        kind: [onnx.helper.make_tensor_value_info(name, *tensor) for name, tensor in tensors.items()]
        for kind, tensors in (("in", inputs), ("out", outputs))
    }
    # As older exports do, the weights stand among the inputs too.
    listed["in"].append(onnx.helper.make_tensor_value_info("weights", onnx.TensorProto.FLOAT, [1]))
    graph = onnx.helper.make_graph([], "tiny", listed["in"], listed["out"], initializer=[weights])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(onnx.helper.make_model(graph).SerializeToString())


def config_at(file: Path) -> Any:
    """A configuration as Triton's own message."""
    return text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def edited(path: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change one configuration of a repository."""

    def apply(repository: Path) -> None:
        config = config_at(repository / path)
        change(config)
        (repository / path).write_text(text_format.MessageToString(config), encoding="utf-8")

    return apply


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a file's text, which must hold ``old``."""

    def apply(repository: Path) -> None:
        text = (repository / path).read_text(encoding="utf-8")
        assert old in text
        (repository / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return apply


def added(files: dict[str, str]) -> Callable[[Path], None]:
    """Put further files into a repository."""
    return lambda repository: write_text(repository, files)


def both(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    """One change after the other."""
    return lambda repository: [change(repository) for change in changes]


def summary(findings: Sequence[Finding]) -> list[tuple[str, str, str, str]]:
    """Level, rule, file and field of each."""
    return [(found.level, found.rule, found.file, found.field) for found in findings]


def linted(repository: Path, *changes: Callable[[Path], object]) -> list[Finding]:
    """What the linter says of a repository after these changes."""
    for change in changes:
        change(repository)
    return lint_repository(repository)
