"""A server's metrics page, and what changed between two of them."""

from __future__ import annotations

import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from prometheus_client.parser import text_string_to_metric_families

from tritonsmith_build.errors import SmithError

Labels = Mapping[str, str]
_FIRST = re.compile(r"(.+)_(?:tokenize|pixels|waves)")
"""The first step of a pipeline, whose name is the rest."""
_COUNTER = "_total"
_WITHIN = "cached"
"""The ensemble within a pipeline's."""


@dataclass(frozen=True)
class Page:
    """What a server said of itself, and when."""

    at: float
    samples: Mapping[str, tuple[tuple[Labels, float], ...]] = field(repr=False)

    @cached_property
    def models(self) -> frozenset[str]:
        """The names of all that Triton counts."""
        return frozenset(labels["model"] for labels, _ in self.samples.get("nv_inference_request_success", ()))

    @property
    def pipelines(self) -> list[str]:
        """Those that are served, known by their first steps."""
        found = {match[1] for model in self.models if (match := _FIRST.fullmatch(model))}
        return sorted(found & self.models)

    def steps(self, pipeline: str) -> list[str]:
        """A pipeline's steps, without its ensembles and without those of a pipeline whose name begins with its own."""
        owners = sorted(self.pipelines, key=len, reverse=True)
        own = [model for model in self.models if next((one for one in owners if model.startswith(f"{one}_")), "") == pipeline]
        return sorted(model for model in own if model != f"{pipeline}_{_WITHIN}" and model not in owners)

    def sum(self, name: str, **wanted: str | Iterable[str]) -> float:
        """Of all samples with these labels; a label may have one of several values."""
        sets = {label: {values} if isinstance(values, str) else set(values) for label, values in wanted.items()}
        found = self.samples.get(name, ())
        return sum(value for labels, value in found if all(labels.get(label) in values for label, values in sets.items()))

    def of(self, name: str, **wanted: str) -> list[tuple[Labels, float]]:
        """The samples with these labels."""
        found = self.samples.get(name, ())
        return [(labels, value) for labels, value in found if wanted.items() <= labels.items()]


def parsed(text: str, at: float) -> Page:
    """A page as Prometheus' text format has it; counters without the ``_total`` that some of Triton's lack."""
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name.removesuffix(_COUNTER), []).append((sample.labels, sample.value))
    return Page(at, {name: tuple(found) for name, found in samples.items()})


def fetched(url: str, timeout: float = 10.0) -> Page:
    """The page at ``url`` now, ``/metrics`` where it has no path. Raises SmithError where there is none."""
    url = url if urllib.parse.urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            text = reply.read().decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SmithError(f"no metrics page: {reason}", where=url, fix="give the metrics port, which `serve` prints") from error
    page = parsed(text, time.monotonic())
    if not page.models:
        raise SmithError("the page is not Triton's", where=url, fix="give the metrics port, which `serve` prints")
    return page
