"""An adapter that has learnt, can be made again byte for byte, and says how it was made."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from rich.console import Console
from tiny_models import sentences
from tritonsmith_build.errors import SmithError
from tritonsmith_build.finetune import FinetuneResult, FinetuneSettings
from tritonsmith_build.finetuning import Data, finetune_for
from tritonsmith_build.source import locate
from tritonsmith_build.stages.model import model_from_source
from tritonsmith_build.tables import PipelineSpec
from workbench import read_model, snapshot, write_spec

LABELS = ["BAD", "GOOD"]
DECISIVE = {"BAD": ("bad", "dull", "awful"), "GOOD": ("good", "lovely", "great")}
NEUTRAL = ("the", "film", "plot", "song", "actor", "ending", "was", "were", "quite", "then", "again", "still", "yet", "this")
COMMAND = "tritonsmith finetune moods --train train.tsv --dev dev.tsv"
QUICK = FinetuneSettings(epochs=14, batch_size=16, learning_rate=3e-3, max_length=24)


def rows(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Texts of neutral words and one that decides."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        label = draw.choice(LABELS)
        words = [*draw.choices(NEUTRAL, k=4), draw.choice(DECISIVE[label])]
        draw.shuffle(words)
        made.append((" ".join(words), label))
    return made


def write_rows(file: Path, table: list[tuple[str, str]]) -> Path:
    """As a TSV with a header."""
    file.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in table))
    return file


@dataclass(frozen=True)
class Run:
    """A spec with its data, and what fine-tuning it gave."""

    spec: PipelineSpec
    data: Data
    output: Path
    result: FinetuneResult


def run(spec: PipelineSpec, data: Data, output: Path | None = None, settings: FinetuneSettings = QUICK) -> FinetuneResult:
    """What ``tritonsmith finetune`` does."""
    console = Console(file=io.StringIO())
    return finetune_for(spec, data, output=output, settings=settings, command=COMMAND, console=console)


def _part(text: str) -> str:
    """The text without its first or last word, whichever does not decide."""
    first, *_, last = text.split()
    return text.removeprefix(f"{first} ") if first in NEUTRAL else text.removesuffix(f" {last}")


def prepared(folder: Path, base: Path, **changes: Any) -> tuple[PipelineSpec, Data]:
    """A spec over a copy of ``base``, 200 rows to learn from and 60 to measure on, 20 of them parts of learnt ones."""
    shutil.copytree(base, folder / "model")
    train, fresh = rows(200, seed=1), rows(40, seed=2)
    parts = [(_part(text), label) for text, label in train[:20]]
    data = Data(
        write_rows(folder / "train.tsv", train), write_rows(folder / "dev.tsv", [*fresh, *parts]), "Made up for a test."
    )
    write_rows(folder / "gate.tsv", rows(30, seed=3))
    content = {
        "source": {"path": "model", "adapter": "adapter"},
        "output": {"labels": LABELS},
        "gate": {"data": "gate.tsv"},
    }
    return write_spec(folder, **(content | changes)), data


@pytest.fixture(scope="session")
def learnt(sample: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run, from start to end."""
    folder = tmp_path_factory.mktemp("learnt")
    spec, data = prepared(folder, sample("mean"))
    return Run(spec, data, folder / "adapter", run(spec, data))


def test_easy_text_is_learnt(learnt: Run) -> None:
    accuracy = learnt.result.accuracy
    assert {name: row.examples for name, row in accuracy.items()} == {"dev": 60, "unseen": 40, "gate": 30}
    assert min(row.accuracy for row in accuracy.values()) > 0.85


def test_the_accuracy_is_what_peft_and_transformers_measure(learnt: Run) -> None:
    base = learnt.spec.beside(Path("model"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    model = peft.PeftModel.from_pretrained(model, learnt.output).eval()
    table = rows(30, seed=3)
    inputs = transformers.AutoTokenizer.from_pretrained(base)([text for text, _ in table], padding=True, return_tensors="pt")
    with torch.inference_mode():
        decided = model(**inputs).logits.argmax(-1).tolist()
    right = sum(LABELS[index] == label for index, (_, label) in zip(decided, table, strict=True))
    assert learnt.result.accuracy["gate"].accuracy == pytest.approx(right / 30)


def test_the_spec_loads_the_adapter_that_was_made_for_it(learnt: Run, tmp_path: Path) -> None:
    model = model_from_source(learnt.spec, locate(learnt.spec), read_model(learnt.spec, tmp_path))
    tokenizer = transformers.AutoTokenizer.from_pretrained(learnt.spec.beside(Path("model")))
    with torch.inference_mode():
        decided = model(**tokenizer(["the film was lovely", "the film was awful"], return_tensors="pt")).logits.argmax(-1)
    assert decided.tolist() == [1, 0]


def test_text_that_is_part_of_a_learnt_text_is_not_unseen(sample: Callable[[str], Path], tmp_path: Path) -> None:
    spec, data = prepared(tmp_path, sample("mean"))
    write_rows(data.train, [("the film was good", "GOOD"), ("a dull song", "BAD")])
    write_rows(data.dev, [("film was good", "GOOD"), (" a dull song ", "BAD"), ("the film was dull", "BAD")])
    accuracy = run(spec, data, settings=FinetuneSettings(epochs=1, max_length=24, rank=2)).accuracy
    assert {name: row.examples for name, row in accuracy.items()} == {"dev": 3, "unseen": 1, "gate": 30}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(learnt: Run, tmp_path: Path) -> None:
    again = run(learnt.spec, learnt.data, tmp_path / "again")
    names = ("adapter_model.safetensors", "adapter_config.json")
    assert all((tmp_path / "again" / name).read_bytes() == (learnt.output / name).read_bytes() for name in names)
    assert again.accuracy == learnt.result.accuracy
    short = {"epochs": 0.2, "batch_size": 16, "rank": 4, "max_length": 24}
    for seed in (0, 1):
        run(learnt.spec, learnt.data, tmp_path / f"seed{seed}", FinetuneSettings(**short, seed=seed))
    weights = [(tmp_path / f"seed{seed}" / "adapter_model.safetensors").read_bytes() for seed in (0, 1)]
    assert weights[0] != weights[1]


def test_exactly_these_files_are_written(learnt: Run) -> None:
    assert sorted(path.name for path in learnt.output.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "finetune.json",
    ]
    assert {path.stat().st_mode & 0o777 for path in learnt.output.iterdir()} == {0o644}


def test_nothing_written_names_a_path_of_this_machine(learnt: Run) -> None:
    assert json.loads((learnt.output / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    assert [path.name for path in learnt.output.iterdir() if str(learnt.output.parent).encode() in path.read_bytes()] == []


def test_the_card_says_how_it_was_made_and_how_good_it_is(learnt: Run) -> None:
    card = (learnt.output / "README.md").read_text()
    accuracy = learnt.result.accuracy
    assert card.startswith("# Adapter for `moods`\n")
    assert f"**Made by** `{COMMAND}` in " in card
    assert f"torch {torch.__version__}" in card
    assert f"peft {peft.__version__}" in card
    assert "`train.tsv`, 200 rows. Made up for a test." in card
    (digest,) = locate(learnt.spec).weights.values()
    assert f"`model.safetensors` with SHA-256 `{digest}`" in card
    assert f"| `dev.tsv` | 60 | {accuracy['dev'].accuracy:.4f} |" in card
    assert f"| of these, texts that are no part of any training text | 40 | {accuracy['unseen'].accuracy:.4f} |" in card
    assert f"| 30 | {accuracy['gate'].accuracy:.4f} |" in card


def test_settings_and_result_are_kept_for_a_second_run(learnt: Run) -> None:
    record = json.loads((learnt.output / "finetune.json").read_text())
    assert (record["settings"]["seed"], record["settings"]["rank"], record["settings"]["learning_rate"]) == (0, 16, 3e-3)
    assert record["result"]["accuracy"]["gate"]["accuracy"] == learnt.result.accuracy["gate"].accuracy


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt], ids=lambda error: error.__name__)
@pytest.mark.parametrize("before", ["nothing", "an older adapter"])
def test_training_that_stops_leaves_what_was_there(
    sample: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], before: str
) -> None:
    spec, data = prepared(tmp_path, sample("mean"))
    if before == "an older adapter":
        (tmp_path / "adapter").mkdir()
        (tmp_path / "adapter" / "adapter_model.safetensors").write_text("older")

    def stop(*_: object) -> None:
        raise error

    stood = snapshot(tmp_path)
    monkeypatch.setattr(transformers.Trainer, "training_step", stop)
    with pytest.raises(error):
        run(spec, data)
    assert snapshot(tmp_path) == stood
    assert (tmp_path / "adapter").exists() == (before != "nothing")


def error_of(spec: PipelineSpec, data: Data) -> str:
    """What is said before anything is trained."""
    with pytest.raises(SmithError) as caught:
        run(spec, data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": {}}, "names no classes to learn; give it task = 'text-classification' and [output] labels = […]"),
        ({"task": "feature-extraction", "output": {}, "gate": {}}, "names no classes to learn; give it task = "),
        ({"source": {"path": "model"}}, "names no adapter; set source.adapter, or give --output"),
        (
            {"source": {"path": "model", "onnx": "a.onnx"}},
            "source: only weights that transformers loads can be",
        ),
    ],
    ids=["no-labels", "another-task", "no-adapter", "graph"],
)
def test_a_spec_that_cannot_be_learnt_for_is_refused(
    sample: Callable[[str], Path], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    assert error_of(*prepared(tmp_path, sample("mean"), **changes)).startswith(f"{tmp_path}/moods.toml: {said}")


@pytest.mark.parametrize("part", ["train", "dev", "gate"])
def test_data_without_labels_is_refused(sample: Callable[[str], Path], tmp_path: Path, part: str) -> None:
    spec, data = prepared(tmp_path, sample("mean"))
    (tmp_path / f"{part}.tsv").write_text("text\n" + "\n".join(sentences(3)))
    assert error_of(spec, data) == f"{tmp_path}/{part}.tsv: has no column 'label'; add one"


@pytest.mark.parametrize("part", ["train", "dev", "gate"])
def test_data_with_a_label_that_is_none_of_the_specs_is_refused(
    sample: Callable[[str], Path], tmp_path: Path, part: str
) -> None:
    spec, data = prepared(tmp_path, sample("mean"))
    write_rows(tmp_path / f"{part}.tsv", [("good", "GREAT")])
    said = error_of(spec, data)
    assert said.startswith(f"{tmp_path}/{part}.tsv: label 'GREAT' is none of the model's ['BAD', 'GOOD']; ")


def test_texts_longer_than_the_model_has_positions_are_cut_to_them(sample: Callable[[str], Path], tmp_path: Path) -> None:
    spec, data = prepared(tmp_path, sample("mean"))
    write_rows(data.train, [(" ".join(["good"] * 100), "GOOD"), (" ".join(["bad"] * 100), "BAD")])
    run(spec, data, settings=FinetuneSettings(epochs=1))
