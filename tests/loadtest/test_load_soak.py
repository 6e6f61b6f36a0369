"""What is made of a long load: growth is told from noise, and each limit can be broken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest
from load.memory import Held, Reading, Watched, slope
from load.soak import judged

TOTALS = {"seconds": 120.0, "requests_per_second": 50.0, "requests": 6000, "errors": 0}


def readings(*, growth: float = 0.0, files: int = 0, segments: int = 0, warming: float = 50.0) -> list[Reading]:
    """Two minutes, of which the first half is spent warming up; ``growth`` in MiB a minute."""
    noise = random.Random(1)
    found = []
    for second in range(120):
        late = second >= 90
        engine = 200 + warming * min(1.0, second / 25) + growth * second / 60 + noise.gauss(0, 0.3)
        held = {"engine 7": Held(engine, 20 + files * late), "tritonserver 5": Held(300.0, 50)}
        found.append(Reading(float(second), held, 8 + segments * late))
    return found


@pytest.mark.parametrize(
    ("grown", "broken"),
    [
        ({}, []),
        ({"growth": 0.8}, []),
        ({"growth": 1.5}, ["engine 7: MiB a minute"]),
        ({"files": 3}, ["engine 7: open files"]),
        ({"segments": 1}, ["segments of shared memory"]),
    ],
)
def test_what_grows_after_it_is_warm_breaks_a_limit(grown: dict[str, float], broken: list[str]) -> None:
    figures = judged(readings(**grown), TOTALS)  # type: ignore[arg-type]
    assert [gate.name for gate in figures.gates() if not gate.holds] == broken


def test_an_error_breaks_a_limit() -> None:
    figures = judged(readings(), {**TOTALS, "errors": 1})
    assert [gate.name for gate in figures.gates() if not gate.holds] == ["errors"]


def test_a_slope_is_by_the_minute() -> None:
    assert slope(readings(growth=6.0, warming=0.0), "engine 7") == pytest.approx(6.0, abs=0.2)
    assert slope(readings()[:1], "engine 7") == 0.0


GROWING = """
import time
held, files = [], []
print("up", flush=True)
for _ in range(40):
    held.append(bytearray(b"x" * 2**20))
    files.append(open("/dev/null"))
    time.sleep(0.05)
time.sleep(60)
"""


def test_a_process_that_grows_is_seen_to() -> None:
    with subprocess.Popen([sys.executable, "-c", GROWING], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with Watched(os.getpid(), pause=0.1) as watched:
            deadline = time.monotonic() + 30
            while grown(watched, child.pid) is None or min(grown(watched, child.pid) or (0, 0)) < 25:
                assert time.monotonic() < deadline, "not seen"
                time.sleep(0.1)
        child.kill()


def grown(watched: Watched, pid: int) -> tuple[float, int] | None:
    """MiB and open files that a process has more than when it was first read."""
    seen = [held for reading in watched.readings for name, held in reading.processes.items() if name.endswith(f" {pid}")]
    return (seen[-1].mib - seen[0].mib, seen[-1].files - seen[0].files) if seen else None
