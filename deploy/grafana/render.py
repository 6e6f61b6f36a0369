"""Writes the dashboards' files: `python deploy/grafana/render.py`; with `--check` they must stand as they are rendered."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

from dashboards import DASHBOARDS, Dashboard, Panel
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
_BUILDERS = {"curves": timeseries.Panel, "figure": stat.Panel, "table": table.Panel}
_HEIGHTS = {"curves": 8, "figure": 4, "table": 8}


def rendered(made: Dashboard) -> str:
    """A dashboard as Grafana reads it."""
    builder = (
        dashboard.Dashboard(made.title).uid(made.uid).tags(["tritonsmith"]).refresh("10s").time("now-1h", "now").readonly()
    )
    if made.by_pipeline:
        names = (
            dashboard.QueryVariable("pipeline").datasource(SOURCE).query("label_values(tritonsmith_pipeline_answers, pipeline)")
        )
        builder = builder.with_variable(names.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED))
    ids = count(1)
    for heading, panels in made.rows:
        builder = builder.with_row(dashboard.Row(heading).id(next(ids)))
        for panel in panels:
            builder = builder.with_panel(_panel(panel).id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2).encode(builder.build()) + "\n"


def _panel(panel: Panel) -> Any:
    made = _BUILDERS[panel.kind]().title(panel.title).description(panel.about).datasource(SOURCE).unit(panel.unit)
    made = made.span(panel.width).height(_HEIGHTS[panel.kind])
    for number, (query, legend) in enumerate(panel.queries):
        asked = prometheus.Dataquery().expr(query).ref_id(chr(ord("A") + number)).legend_format(legend)
        made = made.with_target(asked.instant() if panel.kind != "curves" else asked)
    return made


def main() -> int:
    """0 where all stand as they are rendered, or were written; 1 where `--check` finds another."""
    check, stale = "--check" in sys.argv[1:], []
    for made in DASHBOARDS:
        file = FOLDER / f"{made.uid.removeprefix('tritonsmith-')}.json"
        text = rendered(made)
        if check and (not file.exists() or file.read_text(encoding="utf-8") != text):
            stale.append(file.name)
        elif not check:
            file.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"{', '.join(stale)} are not as rendered; run: python deploy/grafana/render.py\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
