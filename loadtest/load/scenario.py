"""A scenario: who asks what, how the load goes, and what must hold. Read from TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator
from tritonsmith_build.errors import SmithError

Share = Annotated[float, Field(ge=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Load(_Table):
    """How the load goes.

    In a closed loop each user waits for its answer before it asks again, so a slower server is asked less. In an open one
    requests come at ``rate`` a second by chance (a Poisson process), whatever became of those before, and latency counts from
    the moment a request was due.
    """

    shape: Literal["steady", "ramp", "spike"] = "steady"
    loop: Literal["closed", "open"] = "closed"
    seconds: PositiveFloat
    """Of the whole run."""
    users: PositiveInt
    """Callers at the same time; in an open loop streams of arrivals, which share the rate."""
    rate: PositiveFloat | None = None
    """Requests a second of all users together, in an open loop."""
    most_waiting: PositiveInt = 1000
    """Requests of one stream under way at once, in an open loop; one more is an error of its own and not sent."""
    steps: PositiveInt = 6
    """Of a ramp: levels, each with twice the users of the one before, ``users`` at the last."""
    spike_users: PositiveInt | None = None
    """Of a spike: users in the middle third."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.loop == "open") != (self.rate is not None):
            raise ValueError("rate belongs to an open loop, and an open loop needs it")
        if (self.shape == "spike") != (self.spike_users is not None):
            raise ValueError("spike_users belongs to a spike, and a spike needs it")
        return self


class Asked(_Table):
    """A pipeline's part of the load."""

    name: str
    weight: PositiveInt = 1
    """How often it is asked beside the others."""
    batch: tuple[PositiveInt, ...] = (1,)
    """Items in a request, each size as likely as the others."""
    unique: Share = 1.0
    """Share of requests whose texts or images were never sent before, so that no cache knows them."""
    data: Path | None = None
    """Own texts (.txt, .tsv, .csv), a folder of images or recordings, or .jsonl of any items; by the scenario's folder."""
    options: dict[str, Any] = {}
    """As the client's pipeline takes them."""
    tolerance: PositiveFloat = 0.01
    """How far an answer's numbers may be from what the same item was answered before the load."""


class Gates(_Table):
    """What must hold of the whole run; what is left out is not asked."""

    p50_ms: PositiveFloat | None = None
    p95_ms: PositiveFloat | None = None
    p99_ms: PositiveFloat | None = None
    error_share: Share | None = 0.0
    requests_per_second: PositiveFloat | None = None


class Scenario(_Table):
    """All of it."""

    load: Load
    pipelines: tuple[Asked, ...] = Field(min_length=1)
    gates: Gates = Gates()


def scenario_from_file(path: Path) -> Scenario:
    """Read a scenario. Raises SmithError naming the file and the key that cannot be used."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        scenario = Scenario.model_validate(content)
    except OSError as error:
        raise SmithError(f"cannot be read ({error.strerror})", where=path, fix="give --scenario a file that is there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SmithError(f"is no TOML: {error}", where=path) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise SmithError(f"{key}: {first['msg']}", where=path, fix="docs/loadtest.md lists the keys") from None
    placed = [
        asked.model_copy(update={"data": path.parent / asked.data}) if asked.data else asked for asked in scenario.pipelines
    ]
    return scenario.model_copy(update={"pipelines": tuple(placed)})
