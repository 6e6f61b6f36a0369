"""Triton's own counters from its metrics page: where the requests of each model spent their time."""

from __future__ import annotations

import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from tritonsmith_build.errors import SmithError

PARTS = {
    "queue": "nv_inference_queue_duration_us",
    "input": "nv_inference_compute_input_duration_us",
    "infer": "nv_inference_compute_infer_duration_us",
    "output": "nv_inference_compute_output_duration_us",
}
_REQUESTS, _EXECUTIONS = "nv_inference_request_success", "nv_inference_exec_count"
_FAILURES, _ROWS = "nv_inference_request_failure", "nv_inference_count"
_COUNTED = {*PARTS.values(), _REQUESTS, _EXECUTIONS, _FAILURES, _ROWS}

Counters = Mapping[str, Mapping[str, float]]
"""By model, then by Triton's name of the counter; versions are added up."""


@dataclass(frozen=True)
class StepTimes:
    """What the mean request of a model spent, in milliseconds."""

    model: str
    requests: int
    failures: int
    rows_a_batch: float
    queue: float
    input: float
    infer: float
    output: float

    @property
    def total(self) -> float:
        """All four."""
        return self.queue + self.input + self.infer + self.output


def counters_from(page: str) -> Counters:
    """Read a metrics page."""
    counters: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(page):
        if family.name in _COUNTED:
            for sample in family.samples:
                counters[sample.labels["model"]][family.name] += sample.value
    return counters


def counters_at(url: str) -> Counters:
    """The counters of a server. Raises SmithError where its metrics page does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return counters_from(reply.read().decode())
    except (OSError, ValueError) as error:
        raise SmithError(f"no metrics page answers ({error})", where=url, fix="give --metrics-url its address") from None


def step_times(before: Counters, after: Counters) -> list[StepTimes]:
    """What happened between two readings, for each model that was asked."""

    def counted(model: str, name: str) -> float:
        return after[model].get(name, 0.0) - before.get(model, {}).get(name, 0.0)

    rows = []
    for model in sorted(after):
        requests = counted(model, _REQUESTS)
        executions = counted(model, _EXECUTIONS)
        failures = counted(model, _FAILURES)
        if requests + failures <= 0:
            continue
        parts = {part: counted(model, name) / 1e3 / requests if requests else 0.0 for part, name in PARTS.items()}
        batch = counted(model, _ROWS) / executions if executions else 0.0
        rows.append(StepTimes(model, int(requests), int(failures), batch, **parts))
    return rows
