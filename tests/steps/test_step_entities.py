"""Entities against ``transformers.pipeline("token-classification")`` itself, on the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ENTITIES, save_token_classifier, sentences
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, TokenClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.entities import STRATEGIES, Entities, EntitiesSettings

TEXTS = [*sentences(12, seed=3), "neverfilm actoring", "  The Film,  WAS  awful… 😊 naïve", "film\nplot\tactor"]


@pytest.fixture(scope="module", params=["bert", "roberta", "modernbert"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """WordPiece, and byte-level words with and without a space before the first."""
    folder = save_token_classifier(tmp_path_factory.mktemp("tokens") / "model", request.param)
    made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return made


@pytest.fixture
def step(tokenizer: PreTrainedTokenizerBase) -> Entities:
    marks = bool(getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))
    return Entities(tokenizer.backend_tokenizer, EntitiesSettings(ENTITIES, ["O"], tokenizer.unk_token_id, marks))


def asked(tokenizer: PreTrainedTokenizerBase, text: str, seed: int, strategy: str | None = None) -> Arrays:
    """A request with logits by chance, neighbours often alike."""
    tokens = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=2.0, size=(1, len(tokens["input_ids"]), len(ENTITIES))).astype(np.float32)
    logits[:, 1::2] = logits[:, : logits.shape[1] - 1 : 2][:, : logits[:, 1::2].shape[1]] + logits[:, 1::2] / 8
    return {
        "token_logits": logits,
        "input_ids": np.array([tokens["input_ids"]], dtype=np.int32),
        "OFFSETS": np.array([tokens["offset_mapping"]], dtype=np.int32),
        "SPECIAL": np.array([tokens["special_tokens_mask"]], dtype=np.int32),
        "TEXT": np.array([[text.encode()]], dtype=np.object_),
        **({"AGGREGATION_STRATEGY": np.array([[strategy.encode()]], dtype=np.object_)} if strategy else {}),
    }


def reference(tokenizer: PreTrainedTokenizerBase, text: str, request: Arrays, strategy: str) -> list[dict[str, Any]]:
    pipe = object.__new__(TokenClassificationPipeline)
    pipe.tokenizer = tokenizer
    pipe.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(ENTITIES))))
    outputs = {
        "logits": torch.from_numpy(request["token_logits"]),
        "input_ids": torch.from_numpy(request["input_ids"]),
        "offset_mapping": torch.from_numpy(request["OFFSETS"]),
        "special_tokens_mask": torch.from_numpy(request["SPECIAL"]),
        "sentence": text,
    }
    found: list[dict[str, Any]] = pipe.postprocess([outputs], aggregation_strategy=AggregationStrategy[strategy.upper()])
    return found


def entities(result: Any) -> list[list[dict[str, Any]]]:
    assert isinstance(result, dict), result
    return [json.loads(row) for row in result["ENTITIES"].ravel()]


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_are_grouped_as_transformers_groups_them(
    tokenizer: PreTrainedTokenizerBase, step: Entities, strategy: str
) -> None:
    requests = [asked(tokenizer, text, seed, strategy) for seed, text in enumerate(TEXTS)]
    wanted = [reference(tokenizer, text, request, strategy) for text, request in zip(TEXTS, requests, strict=True)]
    made = [entities(result)[0] for result in step(requests)]
    assert len({entity.get("entity") or entity["entity_group"] for found in made for entity in found}) >= 2
    for found, expected in zip(made, wanted, strict=True):
        assert found == [{**entity, "score": pytest.approx(float(entity["score"]), rel=1e-5)} for entity in expected]


def test_without_a_strategy_every_token_stands_by_itself(tokenizer: PreTrainedTokenizerBase, step: Entities) -> None:
    (silent, named) = step([asked(tokenizer, TEXTS[0], 1), asked(tokenizer, TEXTS[0], 1, "NONE")])
    assert entities(silent) == entities(named)


def test_a_strategy_that_there_is_not_is_its_own_requests_error(tokenizer: PreTrainedTokenizerBase, step: Entities) -> None:
    bad, good = step([asked(tokenizer, TEXTS[0], 1, "last"), asked(tokenizer, TEXTS[0], 1, "max")])
    assert str(bad) == "item 0: aggregation_strategy 'last' is unknown; use one of none, simple, first, average, max"
    assert entities(good)


def test_it_is_loaded_with_its_tokenizer(tokenizer: PreTrainedTokenizerBase, step: Entities, tmp_path: Path) -> None:
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"labels": ENTITIES, "ignored": ["O"], "unknown_id": tokenizer.unk_token_id}
    marks = bool(getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))
    (tmp_path / "step.json").write_text(json.dumps({**settings, "marks_continuations": marks}))
    assert isinstance(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), Tokenizer)
    loaded = Entities.load(tmp_path, {}, lambda name, amount: None)
    request = asked(tokenizer, TEXTS[1], 4, "average")
    assert entities(loaded([request])[0]) == entities(step([request])[0])
