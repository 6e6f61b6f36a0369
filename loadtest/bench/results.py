"""All that a run measured, as one JSON file: what the page, the ratios and the plots are made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from tritonsmith_build.errors import SmithError


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Settings(_Row):
    """What was asked for. A run that is taken up again must ask for the same."""

    seconds: int
    rounds: int
    only: tuple[str, ...] = ()


class Server(_Row):
    """What was measured: ours or a peer, one way to run it."""

    name: str
    title: str
    family: Literal["ours", "peer"]
    precision: str
    engine: str
    folder: str = ""
    source: str = ""
    note: str = ""
    versions: dict[str, str] = {}
    problem: str = ""
    """Why it has no figures, or none after some round."""


class Visit(_Row):
    """One start of one server."""

    server: str
    round: int
    busy_before: float
    """Percent of all cores that something else took just before."""
    start_s: float = 0.0
    memory_mib: float = 0.0
    idle_percent: float | None = None
    """Of one core."""


class Check(_Row):
    """How near the answers of one road were to FP32's."""

    server: str
    road: str
    mean: float
    least: float
    texts: int


class Measured(_Row):
    """One cell of one server in one round; latencies in milliseconds."""

    server: str
    road: str
    round: int
    workload: str
    rows: int
    concurrency: int
    requests: int
    seconds: float
    per_second: float
    p50: float
    p90: float
    p99: float
    p999: float
    errors: int
    loader_cpu: float
    hits: float | None = None
    """The share that the response cache answered."""


class Limit(_Row):
    """One workload and batch size in process."""

    precision: str
    round: int
    workload: str
    rows: int
    texts_per_s: float
    p50: float
    p99: float


class Growth(_Row):
    """One point of a curve: ``at`` is what grows."""

    curve: str
    line: str
    """What is measured of the server: requests at once, one caller."""
    at: int
    round: int
    texts_per_s: float
    p50: float
    p99: float
    errors: int = 0
    memory_mib: float | None = None


class ClientCost(_Row):
    """One way to call in one round."""

    way: str
    rows: int
    round: int
    per_second: float
    per_core_second: float
    """Requests by the CPU time of the calling process."""


class Results(_Row):
    """One run on one machine."""

    settings: Settings
    command: str
    commit: str
    begun: str
    duration_s: float = 0.0
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    texts: dict[str, dict[str, str | int | float]] = {}
    """By workload, how long its texts are."""
    servers: list[Server] = []
    visits: list[Visit] = []
    checks: list[Check] = []
    loads: list[Measured] = []
    limits: list[Limit] = []
    growth_server: str = ""
    growth: list[Growth] = []
    client: list[ClientCost] = []

    def server(self, name: str) -> Server:
        """By its name."""
        return next(server for server in self.servers if server.name == name)


def as_text(results: Results) -> str:
    """JSON with a line a row, so that a diff of two runs can be read."""
    fields = results.model_dump(mode="json", exclude_defaults=True)
    parts = [f"{json.dumps(key)}: {_value(value)}" for key, value in fields.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _value(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def save(results: Results, file: Path) -> None:
    """Written beside and renamed: an interrupted run leaves the last whole one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(as_text(results), encoding="utf-8")
    part.replace(file)


def load(file: Path) -> Results:
    """Raises SmithError where there is none, or it is of another version of this benchmark."""
    try:
        return Results.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SmithError("there are no results yet", where=file, fix="run: make bench") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise SmithError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=file, fix="run: make bench") from None
