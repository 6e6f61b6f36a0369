"""What every --model-config-name shows is said once, what some show says which; and one fault leads to one finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lintmodels import PYTHON, joined, plain
from lintplace import (
    CLASSIFY,
    CPU,
    ENGINE,
    ENSEMBLE,
    MANIFEST,
    ONNXRUNTIME,
    TENSORRT,
    TOKENIZE,
    added,
    both,
    edited,
    linted,
    replaced,
    summary,
    write_text,
)

Change = Callable[[Path], object]
TYPE_FP16 = 10


def messages(repository: Path, rule: str, *changes: Change) -> list[str]:
    return [f"{found.file}: {found.message}" for found in linted(repository, *changes) if found.rule == rule]


def with_dtype(path: str, dtype: int) -> Change:
    return edited(path, lambda config: setattr(config.output[0], "data_type", dtype))


def test_what_every_view_shows_is_said_once(repository: Path) -> None:
    change = edited(CLASSIFY, lambda config: setattr(config.input[0], "data_type", TYPE_FP16))
    said = "sentiment/config.pbtxt: tensor logits is TYPE_FP32 in sentiment_engine and TYPE_FP16 in sentiment_classify"
    assert messages(repository, "tensor-dtype-differs", change) == [said]


@pytest.mark.parametrize(
    ("paths", "views"),
    [
        ([CPU], "with --model-config-name=cpu"),
        ([TENSORRT], "without --model-config-name"),
        ([CPU, ONNXRUNTIME], "with --model-config-name=cpu and with --model-config-name=onnxruntime"),
    ],
    ids=["cpu", "default", "two"],
)
def test_what_some_views_show_says_which(repository: Path, paths: list[str], views: str) -> None:
    said = "sentiment/config.pbtxt: tensor logits is TYPE_FP16 in sentiment_engine and TYPE_FP32 in sentiment_classify"
    changes = [with_dtype(path, TYPE_FP16) for path in paths]
    assert messages(repository, "tensor-dtype-differs", *changes) == [f"{said} ({views})"]


@pytest.mark.parametrize(
    "change",
    [replaced(TOKENIZE, '"bucket"', '"longest"'), replaced("sentiment_tokenize/1/step.json", '"buckets"', '"sizes"')],
    ids=["padding", "no-buckets"],
)
def test_without_buckets_rows_merge_only_where_they_are_ragged(repository: Path, change: Change) -> None:
    assert summary(linted(repository, change)) == [
        ("warning", "rows-do-not-merge", TENSORRT, "dynamic_batching"),
        ("warning", "rows-do-not-merge", ONNXRUNTIME, "dynamic_batching"),
    ]


@pytest.mark.parametrize("dims", ["[-1]", "[80, -1]", "[-1, 2]", "[3, 32, -1]"])
def test_a_model_in_no_ensemble_gets_rows_as_callers_send_them(repository: Path, dims: str) -> None:
    assert summary(linted(repository, added(plain("alone", dims, "[2]")))) == [
        ("warning", "rows-do-not-merge", "alone/config.pbtxt", "dynamic_batching")
    ]


@pytest.mark.parametrize("source", ["manifest", "own step.json", "warmup"])
def test_the_number_of_profiles_is_known_from(repository: Path, source: str) -> None:
    target = '{"targets": {"tensorrt": {"profiles": [{}, {}, {}, {}, {}]}}}'
    change, says = {
        "manifest": (added({MANIFEST: target}), f"{MANIFEST} speaks of 5 lengths, but no instance uses profiles 4"),
        "own step.json": (
            added({f"{ENGINE}/step.json": '{"buckets": [1, 2, 3, 4, 5]}'}),
            f"{ENGINE}/step.json speaks of 5 lengths, but no instance uses profiles 4",
        ),
        "warmup": (
            both(
                replaced("sentiment_tokenize/1/step.json", '"buckets"', '"sizes"'),
                edited(TENSORRT, lambda config: config.instance_group[0].profile.pop()),
            ),
            "model_warmup speaks of 4 lengths, but no instance uses profiles 3",
        ),
    }[source]
    assert messages(repository, "profiles-not-listed", change) == [f"{TENSORRT}: {says}"]


@pytest.mark.parametrize("path", [CPU, TENSORRT, ENSEMBLE, TOKENIZE])
def test_what_does_not_read_is_reported_and_nothing_made_of_it(repository: Path, path: str) -> None:
    assert summary(linted(repository, lambda at: (at / path).write_text("name: ["))) == [
        ("error", "config-unreadable", path, "line 1")
    ]


def test_a_model_with_alternatives_alone_lacks_its_config(repository: Path) -> None:
    (found,) = linted(repository, lambda at: (at / CLASSIFY).rename(at / "sentiment_classify/spare.txt"), added({
        "sentiment_classify/configs/cpu.pbtxt": (repository / CLASSIFY).read_text()
    }))  # fmt: skip
    assert (found.level, found.rule, found.file) == ("note", "config-left-to-triton", "sentiment_classify")


def test_version_two_waits_beside_version_one(repository: Path) -> None:
    """The upgrade of docs: both served, the ensemble still on 1; then a file that the new version lacks."""
    write_text(repository, {"sentiment_classify/2/model.py": PYTHON, "sentiment_classify/2/step.json": "{}"})
    assert linted(repository, replaced(CLASSIFY, "versions: [1]", "versions: [1, 2]")) == []
    (repository / "sentiment_classify/2/model.py").unlink()
    (found,) = linted(repository)
    assert found.message == "sentiment_classify/2/model.py is not there"
    assert linted(repository, replaced(CLASSIFY, "versions: [1, 2]", "versions: [1]")) == []


def test_all_policy_serves_every_version(repository: Path) -> None:
    write_text(repository, {"sentiment_classify/2/model.py": "pass\n"})
    policy: dict[str, Callable[[Any], object]] = {
        "latest": lambda config: (
            config.version_policy.latest.SetInParent() or setattr(config.version_policy.latest, "num_versions", 1)
        ),
        "all": lambda config: config.version_policy.all.SetInParent(),
    }
    latest = summary(linted(repository, edited(CLASSIFY, policy["latest"])))
    assert latest == [
        ("error", "step-version-not-served", ENSEMBLE, "ensemble_scheduling.step[2].model_version"),
        ("error", "python-class-missing", "sentiment_classify/2/model.py", "TritonPythonModel"),
    ]
    assert summary(linted(repository, edited(CLASSIFY, policy["all"]))) == latest[1:]


def test_without_a_policy_the_newest_version_alone_is_served(repository: Path) -> None:
    models = joined("whole") | plain("whole", "[2]", "[2]") | {"whole/2/model.py": PYTHON}
    assert summary(linted(repository, added(models))) == [
        ("error", "step-version-not-served", "joined/config.pbtxt", "ensemble_scheduling.step[0].model_version")
    ]
