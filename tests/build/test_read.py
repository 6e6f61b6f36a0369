"""What is read off a model, against what transformers and sentence-transformers themselves do with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tiny_models import POSITIONS, edit_json, save_classifier, save_encoder, sentences
from tokenizers import Tokenizer
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import TextFacts
from tritonsmith_steps.classify import ACTIVATIONS
from workbench import read_model, write_spec


@pytest.fixture
def facts_of(sample: Callable[[str], Path], tmp_path: Path) -> Callable[..., TextFacts]:
    """Read a copy of a sample that ``change`` has changed, with a spec of these keys."""

    def facts(name: str, change: Callable[[Path], object] = lambda _: None, **keys: Any) -> TextFacts:
        shutil.copytree(sample(name), tmp_path / "model")
        change(tmp_path / "model")
        task = "feature-extraction" if name in ("mean", "cls") else "text-classification"
        return read_model(write_spec(tmp_path, task=task, **keys), tmp_path / "read")

    return facts


def error_of(facts_of: Callable[..., TextFacts], *args: Any, **keys: Any) -> str:
    """What is said where model and spec do not fit."""
    with pytest.raises(SmithError) as caught:
        facts_of(*args, **keys)
    return str(caught.value)


# How long a text may be


@pytest.mark.parametrize("name", ["bert-2", "distilbert-5", "roberta-3"])
def test_the_positions_read_are_exactly_those_the_model_can_compute(
    name: str, facts_of: Callable[..., TextFacts], sample: Callable[[str], Path]
) -> None:
    positions = facts_of(name).positions
    model = transformers.AutoModelForSequenceClassification.from_pretrained(sample(name))

    def ids(length: int) -> torch.Tensor:
        return torch.full((1, length), 7)

    assert torch.isfinite(model(ids(positions)).logits).all()
    with pytest.raises((IndexError, RuntimeError)):
        model(ids(positions + 1))


def test_roberta_has_two_positions_fewer_than_its_table_has_rows(
    facts_of: Callable[..., TextFacts], sample: Callable[[str], Path]
) -> None:
    rows = json.loads((sample("roberta-3") / "config.json").read_text())["max_position_embeddings"]
    assert facts_of("roberta-3").positions == rows - 2


@pytest.mark.parametrize(("name", "limit"), [("bert-2", 64), ("roberta-3", 64)])
def test_more_than_the_positions_is_refused_with_the_limit(
    name: str, limit: int, facts_of: Callable[..., TextFacts], tmp_path: Path
) -> None:
    assert error_of(facts_of, name, input={"max_length": limit + 1}) == (
        f"{tmp_path}/moods.toml: input.max_length: {limit + 1} exceeds the model's {limit} positions; set max_length <= {limit}"
    )


@pytest.mark.parametrize(
    ("sentence_bert", "tokenizer", "wished", "expected"),
    [
        (24, 40, 48, 48),
        (24, 40, None, 24),
        (100, 40, None, POSITIONS),
        (None, 40, None, 40),
        (None, 1000, None, POSITIONS),
        (None, None, None, POSITIONS),
    ],
    ids=["spec", "sentence-transformers", "beyond-positions", "tokenizer", "tokenizer-beyond", "positions"],
)
def test_the_greatest_length_is_the_first_that_is_said(
    facts_of: Callable[..., TextFacts], sentence_bert: int | None, tokenizer: int | None, wished: int | None, expected: int
) -> None:
    def say(folder: Path) -> None:
        edit_json(folder / "tokenizer_config.json", model_max_length=tokenizer)
        if sentence_bert is not None:
            edit_json(folder / "sentence_bert_config.json", max_seq_length=sentence_bert, do_lower_case=False)

    facts = facts_of("mean", say, **({"input": {"max_length": wished}} if wished else {}))
    assert facts.max_length == expected
    assert facts.buckets[-1] == expected


def test_buckets_of_the_spec_set_the_greatest_length(facts_of: Callable[..., TextFacts]) -> None:
    facts = facts_of("bert-2", input={"buckets": [8, 24]})
    assert (facts.max_length, facts.buckets) == (24, (8, 24))


def test_a_model_that_names_no_length_needs_one_in_the_spec(sample: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(sample("bert-2"), tmp_path / "model")
    config = transformers.T5Config(vocab_size=130, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2, num_labels=2)
    transformers.T5ForSequenceClassification(config).save_pretrained(tmp_path / "model")
    with pytest.raises(SmithError) as caught:
        read_model(write_spec(tmp_path), tmp_path / "read")
    assert str(caught.value) == f"{tmp_path}/moods.toml: input.max_length: the model names no greatest length; set it"


# What the engine takes


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("bert-2", ("input_ids", "attention_mask", "token_type_ids")),
        ("distilbert-5", ("input_ids", "attention_mask")),
        ("roberta-3", ("input_ids", "attention_mask")),
    ],
)
def test_token_types_are_an_input_only_where_the_model_has_them(
    facts_of: Callable[..., TextFacts], name: str, inputs: tuple[str, ...]
) -> None:
    assert facts_of(name).inputs == inputs


def test_token_types_that_a_tokenizer_offers_are_no_input_of_a_model_that_knows_only_one(
    facts_of: Callable[..., TextFacts],
) -> None:
    offered = ["input_ids", "token_type_ids", "attention_mask"]
    facts = facts_of("roberta-3", lambda folder: edit_json(folder / "tokenizer_config.json", model_input_names=offered))
    assert facts.inputs == ("input_ids", "attention_mask")


@pytest.mark.parametrize("name", ["bert-2", "roberta-3"])
def test_padding_is_the_tokenizers_own(facts_of: Callable[..., TextFacts], sample: Callable[[str], Path], name: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(sample(name))
    assert facts_of(name).pad_id == tokenizer("", padding="max_length", max_length=9)["input_ids"][-1]


def test_the_side_on_which_texts_are_cut_is_the_tokenizers(facts_of: Callable[..., TextFacts]) -> None:
    facts = facts_of("bert-2", lambda folder: edit_json(folder / "tokenizer_config.json", truncation_side="left"))
    assert facts.truncation_side == "left"


def test_the_tokenizer_is_written_without_padding_and_truncation(facts_of: Callable[..., TextFacts], tmp_path: Path) -> None:
    def fix_lengths(folder: Path) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_padding(length=50)
        tokenizer.enable_truncation(6)
        tokenizer.save(str(folder / "tokenizer.json"))

    facts_of("bert-2", fix_lengths)
    written = tmp_path / "read" / "tokenizer.json"
    content = json.loads(written.read_text())
    assert (content["padding"], content["truncation"]) == (None, None)
    lengths = [len(Tokenizer.from_file(str(written)).encode(text).ids) for text in ("good", "the film was good and truly warm")]
    assert lengths == [3, 9]


@pytest.mark.parametrize("name", ["bert-2", "roberta-3"])
def test_the_tokenizer_gives_what_transformers_gives(
    facts_of: Callable[..., TextFacts], sample: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    facts_of(name)
    texts = [*sentences(20), "Ünknown wörds 日本 🎬", "  Spaces   and\ttabs "]
    expected = transformers.AutoTokenizer.from_pretrained(sample(name))(texts)["input_ids"]
    written = Tokenizer.from_file(str(tmp_path / "read" / "tokenizer.json"))
    assert [encoding.ids for encoding in written.encode_batch(texts)] == expected


# What a classifier answers


@pytest.mark.parametrize("name", ["bert-2", "roberta-3", "multi-label", "one-label", "regression"])
def test_scores_are_those_of_the_transformers_pipeline(
    facts_of: Callable[..., TextFacts], sample: Callable[[str], Path], name: str
) -> None:
    facts = facts_of(name)
    pipe = transformers.pipeline("text-classification", str(sample(name)), top_k=None, device="cpu")
    texts = sentences(5)
    with torch.inference_mode():
        logits = pipe.model(**pipe.tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    scores = ACTIVATIONS[facts.activation](logits)
    expected = [{row["label"]: row["score"] for row in answer} for answer in pipe(texts)]
    actual = [dict(zip(facts.labels, row, strict=True)) for row in scores.tolist()]
    for got, want in zip(actual, expected, strict=True):
        assert got == pytest.approx(want, abs=1e-5)


def test_labels_are_the_models_own_in_the_order_of_its_logits(facts_of: Callable[..., TextFacts]) -> None:
    assert facts_of("roberta-3").labels == ("BAD", "SO-SO", "GOOD")


def test_more_than_ten_labels_keep_their_order(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(12))
    save_classifier(tmp_path / "model", labels=names)
    assert read_model(write_spec(tmp_path), tmp_path / "read").labels == names


def test_labels_of_the_spec_replace_the_models(facts_of: Callable[..., TextFacts]) -> None:
    facts = facts_of("bert-2", output={"labels": ["minus", "plus"]})
    assert (facts.labels, facts.width) == (("minus", "plus"), 2)


@pytest.mark.parametrize("labels", [["A"], ["A", "B", "C"]], ids=["too-few", "too-many"])
def test_labels_of_another_count_than_the_head_are_refused(
    facts_of: Callable[..., TextFacts], tmp_path: Path, labels: list[str]
) -> None:
    assert error_of(facts_of, "bert-2", output={"labels": labels}) == (
        f"{tmp_path}/moods.toml: output.labels: {len(labels)} labels for a head of 2; "
        "name all 2, or leave output.labels out to use the model's: BAD, GOOD"
    )


# How token vectors become one


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken"])
@pytest.mark.parametrize("normalize", [True, False], ids=["normalized", "as-it-is"])
@pytest.mark.parametrize("written_as", ["new", "old"])
def test_pooling_and_normalizing_are_what_sentence_transformers_wrote(
    tmp_path: Path, mode: str, normalize: bool, written_as: str
) -> None:
    save_encoder(tmp_path / "encoder")
    transformer = Transformer(str(tmp_path / "encoder"), max_seq_length=24)
    modules = [transformer, Pooling(32, pooling_mode=mode), *([Normalize()] if normalize else [])]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(tmp_path / "model"), create_model_card=False)
    pooling = tmp_path / "model" / "1_Pooling" / "config.json"
    if written_as == "old":  # a flag for each way of pooling, as sentence-transformers wrote until version 5
        assert json.loads(pooling.read_text())["pooling_mode"] == mode
        flags = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}
        written = {f"pooling_mode_{flag}": name == mode for name, flag in flags.items()}
        pooling.write_text(json.dumps({"word_embedding_dimension": 32, **written}))
    facts = read_model(write_spec(tmp_path, task="feature-extraction"), tmp_path / "read")
    assert (facts.pooling, facts.normalize) == (mode.removesuffix("token"), normalize)
    assert (facts.width, facts.max_length) == (32, 24)


def test_without_sentence_transformers_files_vectors_are_averaged_and_left_alone(facts_of: Callable[..., TextFacts]) -> None:
    facts = facts_of("mean")
    assert (facts.pooling, facts.normalize) == ("mean", False)


def test_the_spec_overrides_pooling_and_normalizing(facts_of: Callable[..., TextFacts]) -> None:
    facts = facts_of("cls", output={"pooling": "mean", "normalize": True})
    assert (facts.pooling, facts.normalize) == ("mean", True)


@pytest.mark.parametrize(
    ("pooling", "named"),
    [
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "pooling_mode_mean_sqrt_len_tokens"),
        ({"pooling_mode": "weightedmean"}, "pooling_mode_weightedmean"),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "pooling_mode_cls_token and pooling_mode_mean_tokens",
        ),
    ],
    ids=["by-root-of-length", "weighted", "two"],
)
def test_a_pooling_that_cannot_be_served_is_refused(
    facts_of: Callable[..., TextFacts], tmp_path: Path, pooling: dict[str, Any], named: str
) -> None:
    assert error_of(facts_of, "mean", lambda folder: edit_json(folder / "1_Pooling" / "config.json", **pooling)) == (
        f"{tmp_path}/moods.toml: source: pools by {named}; "
        "set output.pooling to one of mean, cls, max, last if that is close enough for you"
    )


def test_a_module_that_cannot_be_served_is_refused(facts_of: Callable[..., TextFacts], tmp_path: Path) -> None:
    def add_dense(folder: Path) -> None:
        names = ["models.Transformer", "models.Pooling", "models.Dense"]
        entries = [{"idx": i, "path": "", "type": f"sentence_transformers.{name}"} for i, name in enumerate(names)]
        (folder / "modules.json").write_text(json.dumps(entries))

    assert error_of(facts_of, "mean", add_dense) == (
        f"{tmp_path}/moods.toml: source: modules.json has Dense; only Transformer, Pooling and Normalize can be served"
    )


# Folders that do not read


@pytest.mark.parametrize(
    "content", ['{"model_type": "no-such-architecture"}', "{", "{}"], ids=["unknown-architecture", "no-json", "says-nothing"]
)
def test_a_configuration_that_does_not_read_is_named(facts_of: Callable[..., TextFacts], tmp_path: Path, content: str) -> None:
    said = error_of(facts_of, "bert-2", lambda folder: (folder / "config.json").write_text(content))
    assert said.startswith(f"{tmp_path}/moods.toml: source: AutoConfig cannot read {tmp_path}/model: ")
    assert said.endswith("; give a folder that save_pretrained wrote, of an architecture this transformers knows")
    assert "\n" not in said


def test_a_tokenizer_that_does_not_read_is_named(facts_of: Callable[..., TextFacts], tmp_path: Path) -> None:
    said = error_of(facts_of, "bert-2", lambda folder: (folder / "tokenizer.json").write_text("{"))
    assert said.startswith(f"{tmp_path}/moods.toml: source: AutoTokenizer cannot read {tmp_path}/model: ")


def test_a_tokenizer_without_a_fast_form_is_refused(facts_of: Callable[..., TextFacts], tmp_path: Path) -> None:
    def use_bytes(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        transformers.ByT5Tokenizer().save_pretrained(folder)

    assert error_of(facts_of, "bert-2", use_bytes) == (
        f"{tmp_path}/moods.toml: source: the tokenizer has no fast (Rust) form; "
        "convert it with transformers to a tokenizer.json"
    )


@pytest.mark.parametrize("name", ["modules.json", "sentence_bert_config.json", "1_Pooling/config.json"])
def test_a_damaged_file_of_sentence_transformers_is_named(facts_of: Callable[..., TextFacts], name: str) -> None:
    def damage(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{")

    assert name in error_of(facts_of, "mean", damage)
