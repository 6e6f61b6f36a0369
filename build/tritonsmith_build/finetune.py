"""Fine-tune a classification head and a LoRA adapter on labelled text: Trainer + peft, seeded, on any machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, TaskType, get_peft_model
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import EvalPrediction

from tritonsmith_build.examples import Examples, label_ids
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.read_texts import positions_of


@dataclass(frozen=True)
class FinetuneSettings:
    """What a run is made of; written beside the adapter, so that it can be made again."""

    epochs: float = 2.0
    batch_size: int = 32
    learning_rate: float = 6e-4
    rank: int = 16
    dropout: float = 0.05
    warmup_share: float = 0.06
    max_length: int = 128
    seed: int = 0
    target_modules: tuple[str, ...] = ("query", "key", "value", "dense")


@dataclass(frozen=True)
class Accuracy:
    """The share of ``examples`` that the fine-tuned model gets right."""

    accuracy: float
    examples: int


@dataclass(frozen=True)
class FinetuneResult:
    """How a run ended: seconds of training, and the accuracy on each held-out set."""

    seconds: float
    accuracy: dict[str, Accuracy]


class _Encoded(Dataset[dict[str, Any]]):
    """Tokenized once and held in memory."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, examples: Examples, labels: Sequence[str], max_length: int) -> None:
        encoded = tokenizer(list(examples.texts), truncation=True, max_length=max_length, return_attention_mask=False)
        self.ids: list[list[int]] = encoded["input_ids"]
        self.labels = label_ids(examples.labels, labels, where="label")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "labels": self.labels[index]}


@quiet()
def finetune(
    model_folder: Path,
    train: Examples,
    held_out: Mapping[str, Examples],
    labels: Sequence[str],
    output: Path,
    *,
    settings: FinetuneSettings,
    callbacks: Sequence[TrainerCallback] = (),
) -> FinetuneResult:
    """Train on ``train``, measure on every set of ``held_out``, and write a peft adapter with its head to ``output``.

    The adapter names no path of the machine it was made on. Trains in FP32; with the same seed, data, versions and kind
    of processor a second run gives the same weights.
    """
    set_seed(settings.seed)
    names = dict(enumerate(labels))
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_folder, id2label=names, label2id={name: index for index, name in names.items()}
    )
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules=_target_modules(model, settings),
    )
    model = get_peft_model(model, lora)

    max_length = min(settings.max_length, positions_of(model, model.config))

    def encoded(examples: Examples) -> _Encoded:
        return _Encoded(tokenizer, examples, labels, max_length)

    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=_arguments(scratch, settings),
            train_dataset=encoded(train),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=_accuracy,
            callbacks=list(callbacks),
        )
        trainer.remove_callback(transformers.PrinterCallback)
        seconds = float(trainer.train().metrics["train_runtime"])
        accuracy = {
            name: Accuracy(float(trainer.evaluate(encoded(examples))["eval_accuracy"]), len(examples.texts))
            for name, examples in held_out.items()
        }
    result = FinetuneResult(seconds, accuracy)
    _save(model, output, settings, result)
    return result


def _target_modules(model: torch.nn.Module, settings: FinetuneSettings) -> list[str] | str:
    """The layers to adapt by their names in BERT and its kin; every linear layer of a model that names none so."""
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return [name for name in settings.target_modules if name in names] or "all-linear"


def _arguments(scratch: str, settings: FinetuneSettings) -> TrainingArguments:
    return TrainingArguments(
        output_dir=scratch,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=4 * settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",  # texts of like length share a batch, which pads less
        eval_strategy="no",
        save_strategy="no",
        logging_steps=10,
        report_to=[],
        disable_tqdm=True,
        seed=settings.seed,
        dataloader_pin_memory=False,
    )


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float(np.mean(np.argmax(prediction.predictions, axis=-1) == prediction.label_ids))}


def _save(model: Any, output: Path, settings: FinetuneSettings, result: FinetuneResult) -> None:
    model.to(torch.float32).save_pretrained(output, safe_serialization=True)
    (output / "README.md").unlink(missing_ok=True)  # peft's own card is an empty form
    config = output / "adapter_config.json"
    entries = json.loads(config.read_text())
    entries["base_model_name_or_path"] = None  # the spec says what the base is; a local path would be wrong anywhere else
    entries["target_modules"] = sorted(entries["target_modules"])  # peft keeps a set, in another order every run
    config.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    (output / "adapter_model.safetensors").chmod(0o644)
    record = {"settings": asdict(settings), "result": asdict(result)}
    (output / "finetune.json").write_text(json.dumps(record, indent=2) + "\n")
