"""What happened to a server, as JSON for machines and as counters. No line holds what a caller sent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

KINDS = ("fault", "healed", "not-healed", "refresh", "gave-up")
Event = dict[str, Any]
Keep = Callable[[Event], None]


class Events:
    """Hands each event on, and counts them for ``registry``'s page."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self.registry = CollectorRegistry()
        self._counter = Counter("tritonsmith_events", "What the supervisor saw and did", ["event"], registry=self.registry)
        for kind in KINDS:  # a counter that appears when it is 1 has not risen for Prometheus
            self._counter.labels(kind)
        about = "1 where the pipeline answered rightly when last asked"
        self._answers = Gauge("tritonsmith_pipeline_answers", about, ["pipeline"], registry=self.registry)
        about = "How long the pipeline's latest questions took together"
        self._seconds = Gauge("tritonsmith_canary_seconds", about, ["pipeline"], registry=self.registry)

    def __call__(self, event: str, text: str, **fields: Any) -> None:
        """Record one: ``text`` is for people, ``fields`` for machines."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields, "text": text}
        self._counter.labels(event).inc()
        self._keep(entry)

    def asked(self, pipeline: str, *, answers: bool, seconds: float | None = None) -> None:
        """Record whether a pipeline answers, and how long its questions took."""
        self._answers.labels(pipeline).set(answers)
        if seconds is not None:
            self._seconds.labels(pipeline).set(seconds)


def to_file(file: Path, say: Callable[[str], None]) -> Keep:
    """One JSON line an event in ``file``, its text to ``say``. A full disk loses lines and stops nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)

    def keep(event: Event) -> None:
        say(event["text"])
        with contextlib.suppress(OSError), file.open("a", encoding="utf-8") as lines:
            lines.write(as_line(event) + "\n")

    return keep


def as_line(event: Event) -> str:
    """An event as one line of JSON."""
    return json.dumps(event, ensure_ascii=False)
