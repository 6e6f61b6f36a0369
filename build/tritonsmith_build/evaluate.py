"""``tritonsmith evaluate``: how often a served pipeline is right, on texts whose labels came in later."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway
from rich.console import Console
from rich.table import Table
from tritonsmith import Client

from tritonsmith_build import repository as repo
from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import examples_from_file, label_ids

JOB = "tritonsmith_evaluation"
_SURE = 1.96
"""Standard deviations to either side: 95 of a hundred such intervals hold the true share."""


@dataclass(frozen=True)
class Evaluation:
    """What was found."""

    pipeline: str
    items: int
    accuracy: float
    least: float
    """The true accuracy is between this and ``most``, at 95 %."""
    most: float
    built: float | None
    """The accuracy in the build's manifest, None where there is none."""
    recall: Mapping[str, float]
    """By label: how many of its texts were found."""
    precision: Mapping[str, float]
    """By label: how many of those called so were; nothing for a label that nothing was called."""

    @property
    def worse(self) -> bool:
        """Whether it is worse than at the build, and chance does not explain it."""
        return self.built is not None and self.most < self.built

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "worse": self.worse}


def evaluate(pipeline: str, file: Path, *, url: str, repository: Path, target: str = "cpu") -> Evaluation:
    """Ask about every text of a file with labels. Raises SmithError where it has none, or others than the model."""
    examples = examples_from_file(file)
    if not examples.labels:
        raise SmithError("has no labels", where=file, fix="add a column named label")
    try:
        client = Client(url)
    except ValueError as error:
        raise SmithError(str(error), where="--url") from None
    with client:
        pipe = client.pipeline(pipeline)
        known = pipe(examples.texts[0], top_k=None)
        if not isinstance(known, list) or not all("label" in answer for answer in known):
            raise SmithError("answers no classes of texts", where=pipeline, fix="evaluate a pipeline of text-classification")
        answers = pipe(list(examples.texts))
    expected = _expected(examples.labels, [answer["label"] for answer in known], repository, pipeline, file)
    return evaluated(pipeline, expected, [answer["label"] for answer in answers], _built(repository, pipeline, target))


def evaluated(pipeline: str, expected: Sequence[str], found: Sequence[str], built: float | None) -> Evaluation:
    """From the labels of the same texts."""
    right = Counter(a for a, b in zip(expected, found, strict=True) if a == b)
    labels, called, all_right = Counter(expected), Counter(found), sum(right.values())
    least, most = wilson(all_right, len(expected))
    return Evaluation(
        pipeline,
        items=len(expected),
        accuracy=all_right / len(expected),
        least=least,
        most=most,
        built=built,
        recall={label: right[label] / count for label, count in sorted(labels.items())},
        precision={label: right[label] / count for label, count in sorted(called.items())},
    )


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval of a share (E. B. Wilson, Probable inference, 1927)."""
    share, square = right / count, _SURE**2
    middle = share + square / (2 * count)
    half = _SURE * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, (middle - half) / (1 + square / count)), min(1.0, (middle + half) / (1 + square / count))


def push(evaluation: Evaluation, gateway: str) -> None:
    """Leave it with a Pushgateway, where Prometheus finds it. Raises SmithError where that takes it not."""
    registry = CollectorRegistry()
    values = {
        "accuracy": ("Share of labelled texts that were answered rightly", evaluation.accuracy),
        "accuracy_most": ("The upper end of its interval of 95 %", evaluation.most),
        "items": ("Labelled texts that were asked", float(evaluation.items)),
        "built_accuracy": ("The same share at the build", evaluation.built),
    }
    for name, (about, value) in values.items():
        if value is not None:
            Gauge(f"{JOB}_{name}", about, registry=registry).set(value)
    try:
        push_to_gateway(gateway, job=JOB, registry=registry, grouping_key={"pipeline": evaluation.pipeline})
    except OSError as error:
        raise SmithError(f"the Pushgateway does not take it: {error}", where=gateway) from error


def show(evaluation: Evaluation, console: Console) -> None:
    """As people read it."""
    built = "not known" if evaluation.built is None else f"{evaluation.built:.1%}"
    share = f"{evaluation.accuracy:.1%} (95 %: {evaluation.least:.1%} to {evaluation.most:.1%})"
    verdict = ", which is worse than at the build" if evaluation.worse else ""
    said = f"{share} of {evaluation.items} texts right{verdict}; at the build {built}"
    console.print(f"{evaluation.pipeline}: {said}", highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    for name in ("found", "right where said"):
        table.add_column(name, justify="right")
    for label, found in evaluation.recall.items():
        right = evaluation.precision.get(label)
        table.add_row(label, f"{found:.1%}", "-" if right is None else f"{right:.1%}")
    console.print(table)


def _expected(labels: Sequence[str], answered: Sequence[str], repository: Path, pipeline: str, file: Path) -> Sequence[str]:
    """The labels by name; those that a file writes as positions only where the repository says which stands where."""
    for settings in sorted(repository.glob(f"{pipeline}_*/{repo.VERSION}/step.json")):
        names = json.loads(settings.read_text(encoding="utf-8")).get("labels", ())
        if sorted(names) == sorted(answered):
            return [names[index] for index in label_ids(labels, names, where=file)]
    if unknown := sorted(set(labels) - set(answered)):
        what = f"label {unknown[0]!r} is none of {sorted(answered)}"
        raise SmithError(what, where=file, fix="write names, or give the --repository that is served")
    return labels


def _built(repository: Path, pipeline: str, target: str) -> float | None:
    manifest = repo.read_manifest(repository / f"{pipeline}_engine" / str(repo.VERSION)) or {}
    accuracy = manifest.get("targets", {}).get(target, {}).get("gate", {}).get("accuracy")
    return None if accuracy is None else float(accuracy)
