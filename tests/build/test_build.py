"""From a spec to a repository: everything the first time, nothing the second, and never half of anything."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from importlib import metadata, resources
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sklearn import metrics
from tiny_models import balance, save_classifier, save_encoder, sentences
from tritonsmith_build.errors import SmithError
from tritonsmith_build.stages import gate, shapes
from workbench import Exported, Workplace, python, snapshot

STAGES = {
    "read": "tritonsmith_build.stages.read.read",
    "export": "tritonsmith_build.stages.export.onnx_from_graph",
    "verify": "tritonsmith_build.stages.verify.verify",
    "int8": "tritonsmith_build.stages.precision.int8_from_onnx",
    "gate": "tritonsmith_build.modalities.texts.Tokenize",
}
"""What each stage calls, by its name in the cache."""


def digest_of(file: Path) -> str:
    """Its SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def manifest_of(place: Workplace) -> Any:
    """As it stands in the repository."""
    return json.loads((place.engine.parent / "manifest.json").read_text())


def reference(place: Workplace) -> list[int]:
    """What transformers decides on the gate's texts."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(place.root / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(place.root / "model")
    with torch.inference_mode():
        logits = model(**tokenizer(gate_texts(place), padding=True, return_tensors="pt")).logits
    decided: list[int] = logits.argmax(-1).tolist()
    return decided


def candidate(place: Workplace) -> list[int]:
    """What the published engine decides on the gate's texts, tokenized by transformers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(place.root / "model")
    inputs = tokenizer(gate_texts(place), padding=True, return_tensors="np")
    session = onnxruntime.InferenceSession(place.engine)
    (logits,) = session.run(None, {name: array.astype("int32") for name, array in inputs.items()})
    decided: list[int] = logits.argmax(-1).tolist()
    return decided


def gate_texts(place: Workplace) -> list[str]:
    """The texts the build was proved on."""
    return (place.root / "gate.txt").read_text().splitlines()


# The first build


def test_a_first_build_writes_everything(place: Workplace) -> None:
    assert sorted(snapshot(place.repository)) == [
        "moods/1/.gitkeep",
        "moods/config.pbtxt",
        "moods_cached/1/.gitkeep",
        "moods_cached/config.pbtxt",
        "moods_classify/1/canary.cpu.json",
        "moods_classify/1/model.py",
        "moods_classify/1/reference.json",
        "moods_classify/1/step.json",
        "moods_classify/config.pbtxt",
        "moods_engine/1/canary.cpu.json",
        "moods_engine/1/engines.json",
        "moods_engine/1/manifest.json",
        "moods_engine/1/model.cpu.onnx",
        "moods_engine/1/model.py",
        "moods_engine/1/step.json",
        "moods_engine/config.pbtxt",
        "moods_engine/configs/cpu.pbtxt",
        "moods_engine/configs/onnxruntime.pbtxt",
        "moods_tokenize/1/canary.cpu.json",
        "moods_tokenize/1/model.py",
        "moods_tokenize/1/reference.json",
        "moods_tokenize/1/step.json",
        "moods_tokenize/1/tokenizer.json",
        "moods_tokenize/config.pbtxt",
        "moods_tokenize/configs/cpu.pbtxt",
    ]
    assert place.scratch() == []


def test_the_lock_holds_what_the_model_says_of_itself(place: Workplace) -> None:
    assert tomllib.loads((place.root / "moods.lock.toml").read_text()) == {
        "model_type": "bert",
        "weights": {"model.safetensors": digest_of(place.root / "model" / "model.safetensors")},
        "positions": 64,
        "max_length": 32,
        "buckets": [16, 32],
        "inputs": ["input_ids", "attention_mask", "token_type_ids"],
        "pad_id": 0,
        "width": 2,
        "labels": ["BAD", "GOOD"],
        "activation": "softmax",
    }


def test_the_manifest_says_what_was_made_of_what(place: Workplace) -> None:
    manifest = manifest_of(place)
    assert (manifest["pipeline"], manifest["task"]) == ("moods", "text-classification")
    assert manifest["weights"] == {"model.safetensors": digest_of(place.root / "model" / "model.safetensors")}
    target = manifest["targets"]["cpu"]
    paths = ["moods_engine/1/model.cpu.onnx", "moods_engine/1/engines.json", "moods_tokenize/1/tokenizer.json"]
    paths += [f"moods_{step}/1/canary.cpu.json" for step in ("tokenize", "engine", "classify")]
    paths += [f"moods_{step}/1/reference.json" for step in ("tokenize", "classify")]
    assert target["files"] == {
        path: {"sha256": digest_of(place.repository / path), "bytes": (place.repository / path).stat().st_size}
        for path in paths
    }
    assert target["precision"] == "int8"
    assert target["versions"] == {name: metadata.version(name) for name in target["versions"]}
    assert {"torch", "transformers", "onnx", "onnxruntime", "tokenizers", "tritonsmith"} <= target["versions"].keys()
    assert str(place.root) not in json.dumps(manifest)


def test_the_agreement_in_the_manifest_is_that_of_the_published_engine_with_transformers(place: Workplace) -> None:
    expected = metrics.accuracy_score(reference(place), candidate(place))
    assert 0.8 <= expected < 1
    proved = manifest_of(place)["targets"]["cpu"]
    # Two texts: rounding may depend on the batch's shape.
    assert proved["gate"]["agreement"] == pytest.approx(expected, abs=0.011)
    assert proved["gate"]["items"] == 200
    assert "not_quantized" not in proved  # all that can be was


def test_accuracy_is_measured_where_the_gates_texts_have_labels(place: Workplace) -> None:
    labels = ["GOOD" if number % 3 else "BAD" for number in range(200)]
    rows = [f"{text}\t{label}" for text, label in zip(gate_texts(place), labels, strict=True)]
    (place.root / "gate.tsv").write_text("\n".join(["text\tlabel", *rows]))
    place.respecify(gate={"data": "gate.tsv"})
    figures = place.build("fp32").manifest["targets"]["cpu"]["gate"]
    expected = metrics.accuracy_score([label == "GOOD" for label in labels], [bool(index) for index in reference(place)])
    assert figures["accuracy"] == pytest.approx(expected)
    assert (figures["agreement"], figures["accuracy_drop"]) == (1.0, 0.0)


def test_a_spec_without_a_gate_of_its_own_is_proved_on_the_text_that_comes_along(place: Workplace) -> None:
    place.respecify(gate={"data": "nowhere.txt"})
    text = place.spec_file.read_text().replace('data = "nowhere.txt"\n', "")
    place.spec_file.write_text(text)
    lines = (resources.files("tritonsmith_build") / "data" / "gate.txt").read_text(encoding="utf-8").splitlines()
    assert place.build("fp32").manifest["targets"]["cpu"]["gate"]["items"] == sum(bool(line.strip()) for line in lines)


def test_an_embedding_model_is_built_as_sentence_transformers_defines_it(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    save_encoder(tmp_path / "model")
    (tmp_path / "gate.txt").write_text("\n".join(sentences(12)))
    place.respecify(engine={"precision": "fp32"}, gate={"data": "gate.txt"})
    text = place.spec_file.read_text().replace("text-classification", "feature-extraction")
    place.spec_file.write_text(text.replace("min_agreement", "min_cosine"))
    figures = place.build().manifest["targets"]["cpu"]["gate"]
    assert (figures["cosine"], figures["cosine_least"]) == (pytest.approx(1.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")(sentences(4), padding=True, return_tensors="np")
    (vectors,) = onnxruntime.InferenceSession(place.engine).run(None, {name: a.astype("int32") for name, a in inputs.items()})
    expected = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(sentences(4))
    assert vectors == pytest.approx(expected, abs=1e-5)
    assert json.loads((place.repository / "moods_embed" / "1" / "step.json").read_text()) == {"normalize": False}


# The second build


def test_a_second_build_changes_nothing_on_disk(place: Workplace) -> None:
    before = snapshot(place.root)
    assert place.build().changed == ()
    assert snapshot(place.root) == before


HEAVY = ("torch", "transformers", "peft", "onnx", "onnxscript", "onnxruntime.quantization", "huggingface_hub")


@pytest.mark.parametrize(
    ("precision", "modules"),
    [
        ("fp32", HEAVY),
        ("int8", ("torch", "peft", "onnxscript")),
        pytest.param(
            *("int8", HEAVY),
        ),
    ],
    ids=["fp32", "int8", "int8-nothing-at-all"],
)
def test_a_second_build_imports_nothing_heavy(place: Workplace, precision: Any, modules: tuple[str, ...]) -> None:
    place.build(precision)
    code = f"""
from tritonsmith_build.cli import main
import os, sys
os.environ["TRITONSMITH_CACHE"] = "cache"
try:
    main()
finally:
    print("imported:", [name for name in {modules} if name in sys.modules])
"""
    before = snapshot(place.root)
    ended = python(code, "build", "moods.toml", "--repository", "repository", "--precision", precision, cwd=place.root)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "imported: []"
    assert snapshot(place.root) == before


def test_another_repository_is_filled_from_the_cache(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in STAGES.values():
        monkeypatch.setattr(stage, _stop)
    built = place.build(repository=place.root / "other")
    assert sorted(built.changed) == sorted(snapshot(place.root / "other"))
    assert {path: text for path, (text, _) in snapshot(place.root / "other").items()} == {
        path: text for path, (text, _) in snapshot(place.repository).items()
    }


@pytest.mark.parametrize(
    "lost", ["moods_engine/1/model.cpu.onnx", "moods_tokenize/1/tokenizer.json", "moods_engine/1/manifest.json"]
)
def test_what_is_lost_from_the_repository_is_put_back(place: Workplace, lost: str) -> None:
    before = (place.repository / lost).read_bytes()
    (place.repository / lost).unlink()
    assert lost in place.build().changed
    assert (place.repository / lost).read_bytes() == before


def test_a_change_of_the_spec_alone_rewrites_text_alone(place: Workplace) -> None:
    place.respecify(serving={"max_queue_size": 7})
    assert sorted(place.build().changed) == [
        "moods_engine/config.pbtxt",
        "moods_engine/configs/cpu.pbtxt",
        "moods_engine/configs/onnxruntime.pbtxt",
        "moods_tokenize/config.pbtxt",
        "moods_tokenize/configs/cpu.pbtxt",
    ]


def test_a_changed_model_is_built_again_and_locked(place: Workplace) -> None:
    before = place.engine.read_bytes()
    save_classifier(place.root / "model", labels=("MINUS", "PLUS"), seed=1)
    balance(place.root / "model", gate_texts(place))
    digest = digest_of(place.root / "model" / "model.safetensors")
    built = place.build("fp32")
    lock = tomllib.loads((place.root / "moods.lock.toml").read_text())
    assert (lock["weights"], lock["labels"]) == ({"model.safetensors": digest}, ["MINUS", "PLUS"])
    assert built.manifest["weights"] == lock["weights"]
    assert "moods_classify/1/step.json" in built.changed
    assert place.engine.read_bytes() != before
    assert metrics.accuracy_score(reference(place), candidate(place)) >= 0.995


def test_another_precision_replaces_the_engine_and_says_so(place: Workplace) -> None:
    int8 = place.engine.read_bytes()
    assert place.build("fp32").manifest["targets"]["cpu"]["precision"] == "fp32"
    operators = {node.op_type for node in onnx.load(place.engine).graph.node}
    assert "QuantizeLinear" not in operators
    place.build()
    assert place.engine.read_bytes() == int8
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(place.engine).graph.node}


# What is not proved is not published


def test_a_precision_that_the_target_does_not_run_is_refused(place: Workplace) -> None:
    before = place.published()
    with pytest.raises(SmithError) as caught:
        place.build("bf16", target="onnxruntime")
    assert str(caught.value) == (
        f"{place.spec_file}: engine.precision: bf16 does not run on the onnxruntime target; "
        "use one of fp32, fp16, int8, for example with --precision"
    )
    assert place.published() == before


def test_a_failed_gate_keeps_the_old_engine_and_says_figure_and_limit(place: Workplace) -> None:
    place.respecify(gate={"min_agreement": 1.0}, serving={"max_queue_size": 7})
    before = place.published()
    with pytest.raises(SmithError) as caught:
        place.build()
    said = re.fullmatch(
        r"moods: gate: agreement is (0\.\d{4}) on 200 items, the spec's gate\.min_agreement is 1\.0; nothing was replaced\..*",
        str(caught.value),
    )
    assert said, str(caught.value)
    assert float(said[1]) < 1.0
    assert place.published() == before


@pytest.mark.parametrize(("failed", "left_out"), [(1, "after GELU"), (2, "around GELU")])
def test_int8_leaves_out_more_where_the_gate_needs_it(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, failed: int, left_out: str
) -> None:
    figures = chain([0.5] * failed, repeat(0.99))  # then the runtimes pass
    monkeypatch.setitem(gate.FIGURES, "decisions", lambda *_: {"agreement": next(figures)})
    shutil.rmtree(place.cache / "gate")
    before = place.engine.read_bytes()
    proved = place.build().manifest["targets"]["cpu"]
    assert (proved["not_quantized"], proved["gate"]["agreement"]) == ([left_out], 0.99)
    assert place.engine.read_bytes() != before


def graph_that_keeps(place: Workplace, least: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the manifest says of a GPU's INT8 graph where the gate passes only what is near enough to FP32."""
    near = gate.classify_figures

    def strict(expected: Any, actual: Any, labels: Any, facts: Any) -> dict[str, float]:
        distance = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
        return {**near(expected, actual, labels, facts), "agreement": 1.0 - distance}

    monkeypatch.setitem(gate.FIGURES, "decisions", strict)
    place.respecify(gate={"min_agreement": least})
    target: dict[str, Any] = place.build("int8", target="onnxruntime").manifest["targets"]["onnxruntime"]
    return target


def test_a_gpus_int8_leaves_out_what_harms_most_and_no_more_than_the_gate_demands(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    mild = graph_that_keeps(place, 0.0, monkeypatch)
    assert (mild["not_quantized"], mild["weights"]["int8"]) == ([], pytest.approx(1.0, abs=0.1))  # the head stays
    shutil.rmtree(place.cache / "gate")
    limit = 1 - (1 - mild["gate"]["agreement"]) / 2  # a third is what the last of all to be left out brings, or just does not
    strict = graph_that_keeps(place, limit, monkeypatch)
    ranked = [row["group"] for row in strict["search"]]
    assert strict["gate"]["agreement"] >= limit
    assert 0 < len(strict["not_quantized"]) < len(ranked)
    assert strict["not_quantized"] == ranked[: len(strict["not_quantized"])]
    assert sum(row["products"] for row in strict["search"]) == pytest.approx(mild["weights"]["int8"], abs=1e-3)
    left = sum(row["products"] for row in strict["search"] if row["group"] in strict["not_quantized"])
    assert strict["weights"]["int8"] == pytest.approx(mild["weights"]["int8"] - left, abs=1e-3)


BROKEN = {
    "NaN": ({"not_finite": 1, "relative_difference": 0.0}, "1 rows of 4 x 16 tokens are answered with NaN or infinity"),
    "half wrong": ({"not_finite": 0, "relative_difference": 0.6}, "4 x 16 tokens are answered 60% off FP32's answers"),
}


@pytest.mark.parametrize(("row", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_graph_that_fails_at_one_length_alone_is_not_published(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], said: str
) -> None:
    fine = {"rows": 1, "shape": "16 tokens", "not_finite": 0, "relative_difference": 0.01}
    monkeypatch.setattr(shapes, "compare_shapes", lambda *_, **__: [fine, {"rows": 4, "shape": "16 tokens", **row}])
    before = place.published()
    with pytest.raises(SmithError, match=f"moods: shapes: {said}"):
        place.build("fp16", target="onnxruntime")
    assert place.published() == before


def test_a_gpus_graph_is_looked_at_in_every_bucket(place: Workplace) -> None:
    target = place.build("fp16", target="onnxruntime").manifest["targets"]["onnxruntime"]
    assert [(row["rows"], row["shape"]) for row in target["shapes"]] == [
        (rows, f"{length} tokens") for length in (16, 32) for rows in (1, 4)
    ]
    assert all(row["not_finite"] == 0 for row in target["shapes"])


def test_int8_that_never_passes_is_refused_with_its_last_figure(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.5, 0.6, 0.75])
    monkeypatch.setitem(gate.FIGURES, "decisions", lambda *_: {"agreement": next(figures)})
    shutil.rmtree(place.cache / "gate")
    before = place.published()
    with pytest.raises(SmithError, match=r"agreement is 0\.7500 on 200 items"):
        place.build()
    assert place.published() == before
    assert list(figures) == []


def test_a_label_nobody_knows_is_no_reason_to_try_another_int8(place: Workplace) -> None:
    (place.root / "gate.tsv").write_text("text\tlabel\ngood film\tSPLENDID\n")
    place.respecify(gate={"data": "gate.tsv"})
    before = len(list((place.cache / "int8").iterdir()))
    with pytest.raises(SmithError, match="label 'SPLENDID' is none of the model's") as caught:
        place.build()
    assert str(caught.value.where) == str(place.root / "gate.tsv")
    assert len(list((place.cache / "int8").iterdir())) == before


def test_a_graph_that_is_not_the_model_is_never_published(
    place: Workplace, exported: Callable[[str], Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(graph: object, axes: object, dtype: str, output: str, file: Path) -> None:
        shutil.copyfile(exported("bert-2").file, file)  # of the same architecture, with another bias

    monkeypatch.setattr(STAGES["export"], wrong)
    for stage in ("export", "verify"):
        shutil.rmtree(place.cache / stage)
    before = place.published()
    with pytest.raises(SmithError, match="verify: ONNX differs from PyTorch by"):
        place.build()
    assert place.published() == before


# What is interrupted


def _stop(*arguments: object, **_: object) -> None:
    """Begin to write what was asked for, and be stopped by Ctrl-C."""
    for path in arguments:
        if isinstance(path, Path) and not path.is_file():
            (path / "half" if path.is_dir() else path).write_text("half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_inside_a_stage_leaves_repository_and_lock_as_they_were(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    before = place.published()
    place.respecify(serving={"max_queue_size": 7})  # so that there is something to change
    shutil.rmtree(place.cache / stage)
    with monkeypatch.context() as patch:
        patch.setattr(STAGES[stage], _stop)
        with pytest.raises(KeyboardInterrupt):
            place.build()
    assert place.published() == before
    assert place.scratch() == []
    assert not list(place.cache.rglob("half"))
    assert "moods_engine/config.pbtxt" in place.build().changed


def test_ctrl_c_while_publishing_leaves_repository_and_lock_as_they_were(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.published()
    monkeypatch.setattr(shutil, "copyfile", _stop)
    with pytest.raises(KeyboardInterrupt):
        place.build("fp32")
    assert place.published() == before
    assert place.scratch() == []


def test_ctrl_c_while_publishing_leaves_text_and_engine_that_belong_together(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.published()
    place.respecify(serving={"max_queue_size": 7})
    monkeypatch.setattr(shutil, "copyfile", _stop)
    with pytest.raises(KeyboardInterrupt):
        place.build("fp32")
    assert place.published() == before


def test_a_build_stopped_between_any_two_files_is_mended_by_the_next(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model trained again has files of the same sizes, so neither size nor a new manifest may vouch for an old engine."""
    place.build("fp32")
    old = place.engine.stat().st_size
    save_classifier(place.root / "model", seed=1)
    balance(place.root / "model", gate_texts(place))
    count = len(place.build("fp32", tmp_path / "whole").changed)  # and fills the cache
    whole = {path: content for path, (content, _) in snapshot(tmp_path / "whole").items()}
    assert len(whole["moods_engine/1/model.cpu.onnx"]) == old
    rename, mended = Path.replace, []

    for stop_at in range(count):
        repository = tmp_path / f"stopped at {stop_at}"
        shutil.copytree(place.repository, repository)
        left = stop_at

        def stopping(scratch: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return rename(scratch, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stopping)
            try:
                place.build("fp32", repository)
            except KeyboardInterrupt:
                mended.append(stop_at)
        place.build("fp32", repository)
        assert {path: content for path, (content, _) in snapshot(repository).items()} == whole, f"stopped at {stop_at}"
    assert mended[:2] == [0, 1]


def test_a_full_disk_leaves_no_half_of_an_engine(place: Workplace, small_disk: Path) -> None:
    with pytest.raises(SmithError) as caught:
        place.build("fp32", small_disk / "repository")
    assert caught.value.what == "no space left on the disk"
    assert "set TRITONSMITH_CACHE or --repository to a folder that can be written" in str(caught.value)
    left = [path.name for path in small_disk.rglob("*") if path.is_file()]
    assert not {name for name in left if name.endswith((".part", ".onnx", "tokenizer.json", "manifest.json"))}
