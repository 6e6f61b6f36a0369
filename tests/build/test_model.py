"""A model is loaded whole or not at all, and an adapter is part of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import edit_json, save_encoder, sentences
from tritonsmith_build.errors import SmithError
from tritonsmith_build.source import locate
from tritonsmith_build.stages.model import model_from_source
from workbench import read_model, write_spec

TARGETS = {"bert": ["query", "key", "value", "dense"], "distilbert": ["q_lin", "v_lin"], "roberta": ["query", "dense"]}
LABELS = ["BAD", "SO-SO", "GOOD"]


def loaded(folder: Path, **content: Any) -> torch.nn.Module:
    """Read and load the model of a spec in ``folder``."""
    spec = write_spec(folder, **content)
    return model_from_source(spec, locate(spec), read_model(spec, folder / "read"))


def error_of(folder: Path, **content: Any) -> str:
    """What is said about a model that cannot be loaded."""
    with pytest.raises(SmithError) as caught:
        loaded(folder, **content)
    return str(caught.value)


def inputs_for(folder: Path) -> Any:
    """A padded batch, tokenized by transformers."""
    return transformers.AutoTokenizer.from_pretrained(folder)(sentences(6), padding=True, return_tensors="pt")


@pytest.fixture
def folder(sample: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder with a two-class BERT that a test may damage."""
    shutil.copytree(sample("bert-2"), tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize("name", ["bert-2", "distilbert-5", "roberta-3", "multi-label"])
def test_logits_are_those_of_transformers(sample: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    shutil.copytree(sample(name), tmp_path / "model")
    model, inputs = loaded(tmp_path), inputs_for(sample(name))
    expected = transformers.AutoModelForSequenceClassification.from_pretrained(sample(name)).eval()
    assert not model.training
    with torch.inference_mode():
        torch.testing.assert_close(model(**inputs).logits, expected(**inputs).logits, atol=1e-5, rtol=0)


def test_half_precision_weights_are_loaded_as_fp32(folder: Path) -> None:
    weights = folder / "model" / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    edit_json(folder / "model" / "config.json", dtype="float16")
    assert {parameter.dtype for parameter in loaded(folder).parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_a_merged_adapter_gives_what_peft_gives_unmerged(tmp_path: Path, family: str) -> None:
    base = save_encoder(tmp_path / "model", family)
    names = dict(enumerate(LABELS))
    torch.manual_seed(3)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(base, id2label=names, num_labels=3)
    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        target_modules=TARGETS[family],
        init_lora_weights=False,  # random in both factors, so that the adapter changes the answers
        modules_to_save=["pre_classifier", "classifier"] if family == "distilbert" else None,
    )
    peft.get_peft_model(classifier, config).save_pretrained(tmp_path / "adapter")

    model, inputs = (
        loaded(tmp_path, source={"path": "model", "adapter": "adapter"}, output={"labels": LABELS}),
        inputs_for(base),
    )
    fresh = transformers.AutoModelForSequenceClassification.from_pretrained(base, id2label=names, num_labels=3)
    unmerged = peft.PeftModel.from_pretrained(fresh, tmp_path / "adapter").eval()
    with torch.inference_mode():
        expected = unmerged(**inputs).logits
        with unmerged.disable_adapter():
            without = unmerged(**inputs).logits
        actual = model(**inputs).logits
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(actual, without, atol=1e-2)
    assert not any("lora" in name for name, _ in model.named_parameters())


def test_a_head_for_another_task_is_refused_with_what_is_lacking(sample: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(sample("token-classifier"), tmp_path / "model")
    assert error_of(tmp_path) == (
        f"{tmp_path}/model: the weights lack bert.pooler.dense.bias, bert.pooler.dense.weight; the model's head does not fit "
        "text-classification: fine-tune it (tritonsmith finetune) or use another task"
    )


def test_an_encoder_without_a_head_is_no_classifier(sample: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(sample("mean"), tmp_path / "model")
    assert error_of(tmp_path).startswith(f"{tmp_path}/model: the weights lack classifier.bias, classifier.weight; ")


def test_an_encoder_saved_without_its_pooler_is_whole(tmp_path: Path) -> None:
    save_encoder(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("pooler.")}
    save_file(kept, weights, {"format": "pt"})
    inputs = inputs_for(tmp_path / "model")
    with torch.inference_mode():
        actual = loaded(tmp_path, task="feature-extraction")(**inputs).last_hidden_state
        expected = transformers.AutoModel.from_pretrained(tmp_path / "model").eval()(**inputs).last_hidden_state
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_weights_that_lack_a_layer_are_refused_by_its_name(folder: Path) -> None:
    weights = folder / "model" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layer.1.attention.self" not in name}
    save_file(kept, weights, {"format": "pt"})
    said = error_of(folder)
    assert said.startswith(f"{folder}/model: the weights lack bert.encoder.layer.1.attention.self.key.bias, ")
    assert " and 3 more; the model's head does not fit text-classification" in said


def test_weights_of_another_shape_are_refused_in_one_line(folder: Path) -> None:
    weights = folder / "model" / "model.safetensors"
    tensors = load_file(weights)
    save_file(
        {**tensors, "classifier.weight": torch.zeros(3, 32), "classifier.bias": torch.zeros(3)}, weights, {"format": "pt"}
    )
    said = error_of(folder)
    assert said.startswith(f"{folder}/model: cannot be loaded by AutoModelForSequenceClassification: ")
    assert said.endswith("; check that model and adapter belong together and to the task")
    assert "\n" not in said


def test_an_adapter_of_another_model_is_refused_in_one_line(folder: Path) -> None:
    other = save_encoder(folder / "other", "distilbert")
    config = peft.LoraConfig(r=2, target_modules=["q_lin"])
    peft.get_peft_model(transformers.AutoModel.from_pretrained(other), config).save_pretrained(folder / "adapter")
    said = error_of(folder, source={"path": "model", "adapter": "adapter"})
    assert said.startswith(f"{folder}/model: cannot be loaded by AutoModelForSequenceClassification: ")
    assert said.endswith("; check that model and adapter belong together and to the task")
    assert "\n" not in said
