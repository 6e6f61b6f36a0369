"""A long load below saturation: what a server holds must not grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from load.gates import Gate
from load.locusting import Target, loaded
from load.memory import Reading, Watched, slope
from load.overload import SATURATING

_STREAMS = 8
_WARM = 0.25
"""Of the time: buffers, pools and caches grow to what the load needs."""
MIB_A_MINUTE = 1.0


@dataclass(frozen=True)
class Soak:
    """The figures of one run."""

    seconds: float
    requests_per_second: float
    requests: int
    errors: int
    mib_a_minute: Mapping[str, float]
    """Of each process after it is warm."""
    files: Mapping[str, int]
    """How many more a process has open in the last quarter than in the second."""
    segments: int
    """Likewise, of shared memory."""
    mib: float
    """Of all processes at the end."""

    def gates(self) -> list[Gate]:
        """What must hold."""
        return [
            _at_most("errors", 0, self.errors),
            *(_at_most(f"{name}: MiB a minute", MIB_A_MINUTE, rate) for name, rate in self.mib_a_minute.items()),
            *(_at_most(f"{name}: open files", 0, more) for name, more in self.files.items()),
            _at_most("segments of shared memory", 0, self.segments),
        ]


def saturated(target: Target, pipeline: str, folder: Path, *, seconds: float) -> float:
    """How many requests a second of these a server answers at most; ``folder`` keeps the report."""
    rate: float = loaded(target, pipeline, folder, {"seconds": seconds, "users": SATURATING})["totals"]["requests_per_second"]
    return rate


def soak(target: Target, pipeline: str, rate: float, folder: Path, *, seconds: float) -> Soak:
    """Send a server of this machine so many requests a second; ``folder`` keeps the report."""
    assert target.pid is not None
    with Watched(target.pid, pause=max(1.0, seconds / 200)) as watched:
        result = loaded(target, pipeline, folder, {"seconds": seconds, "users": _STREAMS, "loop": "open", "rate": rate})
    begun = result["ended"] - result["totals"]["seconds"]
    readings = [reading for reading in watched.readings if begun <= reading.time <= result["ended"]]
    return judged(readings, result["totals"])


def judged(readings: Sequence[Reading], totals: Mapping[str, float]) -> Soak:
    """The figures, from what was read during the load."""
    warm = readings[int(_WARM * len(readings)) :]
    third = max(1, len(warm) // 3)
    early, late = warm[:third], warm[-third:]
    names = sorted(set.intersection(*(set(reading.processes) for reading in warm)))
    return Soak(
        seconds=totals["seconds"],
        requests_per_second=totals["requests_per_second"],
        requests=int(totals["requests"]),
        errors=int(totals["errors"]),
        mib_a_minute={name: slope(warm, name) for name in names},
        files={name: _more([[reading.processes[name].files for reading in part] for part in (early, late)]) for name in names},
        segments=_more([[reading.segments for reading in part] for part in (early, late)]),
        mib=readings[-1].mib,
    )


def _more(parts: Sequence[Sequence[int]]) -> int:
    early, late = (median(part) for part in parts)
    return int(late - early)


def _at_most(name: str, limit: float, value: float) -> Gate:
    return Gate(name, limit, value, value <= limit)
