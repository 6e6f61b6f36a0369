"""What steps count, and what Triton's metrics page calls it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Part = str
"""Which part of a metric a number belongs to; nothing where it has none."""


@dataclass(frozen=True)
class Metric:
    """One family of counters."""

    title: str
    description: str
    label: str = ""
    """What tells its parts apart."""
    bounds: tuple[float, ...] = ()
    """Of a distribution. Its parts say how many values were at most so large, with the label ``le``, as Prometheus counts them:
    ``histogram_quantile`` takes them. Triton's own histograms want a message for every value."""

    def __post_init__(self) -> None:
        if self.bounds and self.label != "le":
            raise ValueError(f"{self.title}: a distribution's label is le")


def _distribution(title: str, description: str, *bounds: float) -> Metric:
    return Metric(title, description, "le", bounds)


_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
METRICS: Mapping[str, Metric] = {
    "requests": Metric("tritonsmith_requests_total", "Requests that a step has ended, by what came of them", "outcome"),
    "unlogged": Metric(
        "tritonsmith_unlogged_requests_total", "Requests that the log of requests lacks, as it was not written so fast"
    ),
    "redacted": Metric("tritonsmith_redacted_total", "Parts of texts that were taken out before the model saw them", "kind"),
    "tokens": Metric("tritonsmith_tokens_total", "Tokens of texts, special tokens included, padding not"),
    "padding": Metric("tritonsmith_padding_tokens_total", "Padding added, in tokens of texts or samples of recordings"),
    "unknown_tokens": Metric("tritonsmith_unknown_tokens_total", "Tokens that stand for what the vocabulary has not"),
    "samples": Metric("tritonsmith_samples_total", "Samples of recordings, at the model's own rate"),
    "pixels": Metric("tritonsmith_pixels_total", "Pixels of images as they came"),
    "truncated": Metric(
        "tritonsmith_truncated_inputs_total", "Texts and recordings that were cut to the model's greatest length"
    ),
    "length": _distribution(
        "tritonsmith_input_tokens_total",
        "Texts of at most so many tokens, after cutting",
        *(8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192),
    ),
    "script": Metric("tritonsmith_letters_total", "Letters at the start of texts, by their script", "script"),
    "label": Metric("tritonsmith_labels_total", "Inputs by the label that was likeliest", "label"),
    "confidence": _distribution(
        "tritonsmith_confidence_total", "Inputs whose likeliest label had at most this probability", *_SHARES
    ),
    "uncertainty": _distribution(
        "tritonsmith_uncertainty_total",
        "Inputs whose labels' probabilities had at most this entropy, as a share of the greatest that there can be",
        *_SHARES,
    ),
    "unknown": _distribution(
        "tritonsmith_unknown_share_total",
        "Texts in which at most this share of tokens stands for what the vocabulary has not",
        *(0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ),
    "norm": _distribution(
        "tritonsmith_embedding_norm_total",
        "Embeddings of at most this length",
        *(0.5, 0.9, 0.99, 1.01, 1.1, 2, 4, 8, 16, 32, 64),
    ),
}


GAUGES: Mapping[str, Metric] = {
    "drift": Metric("tritonsmith_drift", "How far the last inputs or answers are from those of the build", "feature"),
    "limit": Metric("tritonsmith_drift_limit", "What a drift that is none stays under", "feature"),
}
"""What steps tell as it stands now. Besides its feature each has the label ``measure``."""


@lru_cache
def _parts(bounds: tuple[float, ...]) -> tuple[Part, ...]:
    return (*(f"{bound:g}" for bound in bounds), "+Inf")


class Sums:
    """What was counted since it was last handed over; threads may count and hand over at once."""

    def __init__(self) -> None:
        self._counted: Counter[tuple[str, Part]] = Counter()
        self._vectors: Any = 0.0
        self._lock = threading.Lock()

    def __call__(self, name: str, amount: int, part: Part = "") -> None:
        """Count so many more."""
        with self._lock:
            self._counted[name, part] += amount

    def values(self, name: str, values: NDArray[Any]) -> None:
        """Count values of a distribution; what is no number belongs to none of its parts but the last."""
        ordered = np.sort(values, axis=None)
        bounds = METRICS[name].bounds
        counts = [*ordered.searchsorted(bounds, side="right").tolist(), ordered.size]
        with self._lock:
            for part, count in zip(_parts(bounds), counts, strict=True):
                self._counted[name, part] += count

    def vectors(self, rows: NDArray[Any]) -> None:
        """Add up vectors ``[n, width]``."""
        with self._lock:
            self._vectors = self._vectors + rows.sum(axis=0, dtype=np.float64)

    def handed_over(self) -> dict[tuple[str, Part], int]:
        """All that was counted, by metric and part; it begins anew."""
        return self.all_handed_over()[0]

    def all_handed_over(self) -> tuple[dict[tuple[str, Part], int], Any]:
        """The same, and the sum of the vectors ``[width]``, 0 where there were none."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            vectors, self._vectors = self._vectors, 0.0
        return dict(counted), vectors
