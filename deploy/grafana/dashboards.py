"""What the dashboards show: rows of panels, and what each asks Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["curves", "figure", "table"]
WIDE, HALF, SIXTH = 24, 12, 4
"""Of the 24 columns that Grafana has."""


@dataclass(frozen=True)
class Panel:
    """One picture: what it asks, each with the legend of its answers."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    width: int = HALF
    kind: Kind = "curves"
    about: str = ""


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels, under headings."""

    uid: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    by_pipeline: bool = False


_MODEL = 'model=~"${pipeline}_.*"'
_OWN = 'pipeline="$pipeline"'


def _spent(part: str) -> str:
    counted = f"nv_inference_{part}_duration_us{{{_MODEL}}}"
    return f"sum by (model) (rate({counted}[5m])) / 1e6"


def _rate(counter: str, by: str = "by (model)") -> str:
    return f"sum {by} (rate({counter}{{{_MODEL}}}[5m]))"


_BATCH = f"{_rate('nv_inference_count')} / {_rate('nv_inference_exec_count')}"
_PADDING, _TOKENS = (_rate(f"tritonsmith_{kind}_total", "") for kind in ("padding_tokens", "tokens"))


def _quantile(share: float, metric: str, model: str = _MODEL) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({metric}{{{model}}}[5m])))"


DASHBOARDS = (
    Dashboard(
        "tritonsmith-overview",
        "tritonsmith: overview",
        [
            (
                "Now",
                [
                    Panel("Pipelines that answer", [("sum(tritonsmith_pipeline_answers)", "")], width=SIXTH, kind="figure"),
                    Panel(
                        "that do not",
                        [("count(tritonsmith_pipeline_answers == 0) or vector(0)", "")],
                        width=SIXTH,
                        kind="figure",
                    ),
                    Panel("Answers a second", [("sum(pipeline:answered:rate5m)", "")], "reqps", SIXTH, "figure"),
                    Panel("Failed, last hour", [("max(pipeline:failed:share1h)", "")], "percentunit", SIXTH, "figure"),
                    Panel("99 % within", [("max(pipeline:p99_seconds)", "")], "s", SIXTH, "figure"),
                    Panel(
                        "Faults mended, last day",
                        [('sum(increase(tritonsmith_events_total{event="healed"}[1d]))', "")],
                        "short",
                        SIXTH,
                        "figure",
                    ),
                ],
            ),
            (
                "Pipelines",
                [
                    Panel("Answers", [("pipeline:answered:rate5m", "{{pipeline}}")], "reqps"),
                    Panel("99 % of answers within", [("pipeline:p99_seconds", "{{pipeline}}")], "s"),
                    Panel("Failed, without callers' mistakes", [("pipeline:failed:share5m", "{{pipeline}}")], "percentunit"),
                    Panel("Waiting at one step", [("pipeline:waiting", "{{pipeline}}")]),
                    Panel("Answered from the cache", [("pipeline:cached:share5m", "{{pipeline}}")], "percentunit"),
                    Panel(
                        "Callers' mistakes",
                        [('sum by (model) (rate(tritonsmith_requests_total{outcome="refused"}[5m]))', "{{model}}")],
                        "reqps",
                    ),
                ],
            ),
            (
                "Servers",
                [
                    Panel(
                        "Questions of the supervisor took", [("tritonsmith_canary_seconds", "{{instance}} {{pipeline}}")], "s"
                    ),
                    Panel(
                        "What the supervisor saw and did",
                        [("sum by (event) (increase(tritonsmith_events_total[5m]))", "{{event}}")],
                    ),
                    Panel("GPU in use", [("nv_gpu_utilization", "{{gpu_uuid}}")], "percentunit"),
                    Panel(
                        "GPU memory in use",
                        [("nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes", "{{gpu_uuid}}")],
                        "percentunit",
                    ),
                ],
            ),
        ],
    ),
    Dashboard(
        "tritonsmith-pipeline",
        "tritonsmith: one pipeline",
        [
            (
                "Callers",
                [
                    Panel(
                        "Answers",
                        [(f"pipeline:answered:rate5m{{{_OWN}}}", "answered"), (f"pipeline:failed:rate5m{{{_OWN}}}", "failed")],
                        "reqps",
                    ),
                    Panel(
                        "Latency",
                        [('max by (quantile) (nv_inference_request_summary_us{model="$pipeline"}) / 1e6', "{{quantile}}")],
                        "s",
                    ),
                ],
            ),
            (
                "Steps",
                [
                    Panel(
                        "Time in the queue",
                        [(_spent("queue"), "{{model}}")],
                        "s",
                        about="Seconds a second: requests that wait, in the mean.",
                    ),
                    Panel(
                        "Time computing",
                        [(_spent("compute_infer"), "{{model}}")],
                        "s",
                        about="Seconds a second: instances at work, in the mean.",
                    ),
                    Panel(
                        "Rows a batch", [(f"{_rate('nv_inference_count')} / {_rate('nv_inference_exec_count')}", "{{model}}")]
                    ),
                    Panel("Waiting", [(f"sum by (model) (nv_inference_pending_request_count{{{_MODEL}}})", "{{model}}")]),
                ],
            ),
            (
                "Inputs",
                [
                    Panel(
                        "Tokens of a text",
                        [
                            (_quantile(0.5, "tritonsmith_input_tokens_total"), "half"),
                            (_quantile(0.99, "tritonsmith_input_tokens_total"), "99 %"),
                        ],
                    ),
                    Panel("Padding", [(f"{_PADDING} / ({_PADDING} + {_TOKENS})", "of all tokens")], "percentunit"),
                    Panel("Cut texts", [(f"sum(rate(tritonsmith_truncated_inputs_total{{{_MODEL}}}[5m]))", "a second")]),
                    Panel(
                        "Letters by script",
                        [(f"sum by (script) (rate(tritonsmith_letters_total{{{_MODEL}}}[5m]))", "{{script}}")],
                    ),
                ],
            ),
            (
                "Answers",
                [
                    Panel("Labels", [(f"sum by (label) (rate(tritonsmith_labels_total{{{_MODEL}}}[5m]))", "{{label}}")]),
                    Panel(
                        "Confidence",
                        [
                            (_quantile(0.5, "tritonsmith_confidence_total"), "half"),
                            (_quantile(0.1, "tritonsmith_confidence_total"), "a tenth"),
                        ],
                        "percentunit",
                    ),
                ],
            ),
        ],
        by_pipeline=True,
    ),
    Dashboard(
        "tritonsmith-drift",
        "tritonsmith: drift",
        [
            (
                "How much of its limit each drift is: over 1 it is one",
                [
                    Panel(
                        "All pipelines",
                        [("tritonsmith_drift / tritonsmith_drift_limit", "{{model}} {{feature}} {{measure}}")],
                        width=WIDE,
                    ),
                    Panel(
                        "Beyond their limits",
                        [("(tritonsmith_drift / tritonsmith_drift_limit) > 1", "{{model}} {{feature}} {{measure}}")],
                        width=WIDE,
                        kind="table",
                    ),
                ],
            ),
            (
                "Of one pipeline",
                [
                    Panel(
                        "Inputs",
                        [
                            (
                                'tritonsmith_drift{model=~"${pipeline}_.*", feature=~"length|unknown|script"}',
                                "{{feature}} {{measure}}",
                            )
                        ],
                    ),
                    Panel(
                        "Answers",
                        [
                            (
                                'tritonsmith_drift{model=~"${pipeline}_.*", feature!~"length|unknown|script"}',
                                "{{feature}} {{measure}}",
                            )
                        ],
                    ),
                ],
            ),
        ],
        by_pipeline=True,
    ),
)
