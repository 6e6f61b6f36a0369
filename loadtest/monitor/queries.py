"""What is asked of Prometheus: by its rules, and by the panels of the dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.native import DEPLOYED

DASHBOARDS = DEPLOYED.parent / "grafana" / "dashboards"
_GPU = "nv_gpu_"


@dataclass(frozen=True)
class Query:
    """One expression, and who asks it."""

    where: str
    name: str
    expression: str

    @property
    def may_be_empty(self) -> bool:
        """Whether it asks for what is beyond a limit: nothing, one hopes."""
        return self.expression.endswith("> 1")

    @property
    def needs_gpu(self) -> bool:
        """Whether it asks for what only a machine with a GPU has."""
        return _GPU in self.expression


def recorded() -> list[Query]:
    """The figures that rules record."""
    return [Query("rule", rule["record"], rule["record"]) for rule in _rules() if "record" in rule]


def alerts() -> list[Query]:
    """The conditions of alerts."""
    return [Query("alert", rule["alert"], rule["expr"]) for rule in _rules() if "alert" in rule]


def panels(pipeline: str) -> list[Query]:
    """Those of all panels, of one pipeline where a dashboard is of one."""
    return [query for file in sorted(DASHBOARDS.glob("*.json")) for query in _of_dashboard(file, pipeline)]


def _rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((DEPLOYED / "rules.yml").read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def _of_dashboard(file: Path, pipeline: str) -> Iterator[Query]:
    for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("${pipeline}", pipeline).replace("$pipeline", pipeline)
            yield Query(file.stem, panel["title"], expression)
