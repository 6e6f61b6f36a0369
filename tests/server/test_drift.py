"""Drift on the metrics page of a real server: quiet on text like the build's, loud on other text, and it says what moved."""

from __future__ import annotations

import inspect
import logging
import re
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tritonsmith_steps.tokenize
from drifting import drifting
from served import ROOT, UNASKED, Served, serving
from tritonsmith import Client
from tritonsmith_build.examples import examples_from_file
from waiting import until

LOG = logging.getLogger(__name__)
WINDOW = 100
QUIET_WINDOWS = 20
SST2 = ROOT.parent / "shared" / "data" / "sst2" / "dev.tsv"
SAMPLE = re.compile(r'tritonsmith_(drift|drift_limit)\{feature="(\w+)",measure="(\w+)",model="(\w+)"\} (\S+)')
Page = dict[tuple[str, str, str], float]
"""By model, feature and measure: a drift in its limits."""


COUNTS = {
    "sentiment": (("input_tokens_total", "tokenize"), ("confidence_total", "classify")),
    "embeddings": (("input_tokens_total", "tokenize"), ("embedding_norm_total", "embed")),
}
"""By pipeline: what each of its looking steps counts every text by."""


class Watched:
    """A server with pipelines whose windows are short, and texts that their builds have not seen."""

    def __init__(self, served: Served, texts: Sequence[str], labels: Sequence[str]) -> None:
        self.served, self.chance, self.asked = served, np.random.default_rng(5), Counter[str]()
        # Of our own texts the model finds four in five: there its answers are the labels.
        found = labels or [answer["label"] for answer in self._answers("sentiment", texts)]
        self.texts, self.labels = np.array(texts), np.array(found)

    def _answers(self, name: str, texts: Sequence[str]) -> Any:
        self.asked[name] += len(texts)
        with Client(self.served.grpc) as client:
            return client.pipeline(name)(list(texts))

    def _page(self) -> str:
        with urllib.request.urlopen(self.served.metrics, timeout=10) as page:
            return page.read().decode()

    def _told(self) -> bool:
        """Whether every step has told of all that was asked."""
        page = self._page()
        return all(
            f'tritonsmith_{metric}{{le="+Inf",model="{name}_{step}"}} {self.asked[name]}\n' in page
            for name, counts in COUNTS.items()
            for metric, step in counts
        )

    def after(self, texts: Sequence[str]) -> Page:
        """Every drift over its limit when both pipelines have answered these texts."""
        for name in COUNTS:
            self._answers(name, texts)
        until(self._told, "the steps tell of these texts")
        values: dict[str, Page] = {"drift": {}, "drift_limit": {}}
        for kind, feature, measure, model, value in SAMPLE.findall(self._page()):
            values[kind][model, feature, measure] = float(value)
        assert values["drift"].keys() == values["drift_limit"].keys()
        return {key: value / values["drift_limit"][key] for key, value in values["drift"].items()}

    def some(self, negative: float = 0.5) -> list[str]:
        """A window of texts, of which so many are negative."""
        count = round(negative * WINDOW)
        of = {label: self.texts[self.labels == label] for label in np.unique(self.labels)}
        negatives, positives = (of[label] for label in sorted(of))
        return [*self.chance.choice(negatives, count), *self.chance.choice(positives, WINDOW - count)]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(ROOT / "pipelines" / "sentiment" / "gate.tsv", id="own"),
        pytest.param(
            SST2,
            id="sst2",
            marks=[pytest.mark.full, pytest.mark.skipif(not SST2.is_file(), reason="SST-2 is not beside the project")],
        ),
    ],
)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Both shipped pipelines, compared with one half of a file's texts; the other half is sent."""
    folder = tmp_path_factory.mktemp("drift")
    examples = examples_from_file(request.param)
    names = ("sentiment", "embeddings")
    repository = drifting(folder, names, examples.texts[:800:2], window=WINDOW)
    with serving(repository, folder / "log", "--no-cache", UNASKED) as served:
        yield Watched(served, examples.texts[1:800:2], examples.labels[1:800:2] if request.param == SST2 else ())


def loud(page: Page) -> set[tuple[str, str]]:
    """What is beyond its limit, by feature and measure."""
    return {(feature, measure) for (_, feature, measure), over in page.items() if over > 1}


def test_what_is_like_the_builds_data_is_quiet_for_twenty_windows(watched: Watched) -> None:
    pages = [watched.after(watched.some()) for _ in range(QUIET_WINDOWS)]
    features = {feature for _, feature, _ in pages[0]}
    assert features == {"length", "unknown", "script", "label", "confidence", "uncertainty", "embedding"}
    assert [loud(page) for page in pages] == [set()] * QUIET_WINDOWS
    worst = max((over, *key) for page in pages for key, over in page.items())
    LOG.info("like the build's: at most %.2f of the limit (%s)", worst[0], " ".join(worst[1:]))


RUSSIAN = "он она фильм сюжет музыка который никогда плохо хорошо смотреть актёры играют история вечером очень долго"


def russian(watched: Watched) -> list[str]:
    words = RUSSIAN.split()
    return [" ".join(watched.chance.choice(words, watched.chance.integers(4, 12))) for _ in range(WINDOW)]


def code(watched: Watched) -> list[str]:
    lines = [line.strip() for line in inspect.getsource(tritonsmith_steps.tokenize).splitlines() if len(line) > 20]
    return list(watched.chance.choice(lines, WINDOW))


def negative(watched: Watched) -> list[str]:
    return watched.some(negative=0.95)


@pytest.mark.parametrize(
    ("texts", "moved"),
    [
        (russian, {("script", "psi"), ("script", "js"), ("embedding", "centroid")}),
        (code, {("embedding", "centroid")}),
        (negative, {("label", "psi"), ("label", "js")}),
    ],
)
def test_what_is_not_is_loud_within_two_windows_and_says_what_moved(
    watched: Watched, texts: Callable[[Watched], list[str]], moved: set[tuple[str, str]]
) -> None:
    assert not loud(watched.after(watched.some()))
    pages = [watched.after(texts(watched)) for _ in range(2)]
    for (_, feature, measure), over in sorted(pages[-1].items()):
        LOG.info("%s: %s %s is %.2f of its limit", texts.__name__, feature, measure, over)
    assert moved <= loud(pages[-1])
    watched.after(watched.some())
    assert not loud(watched.after(watched.some()))
