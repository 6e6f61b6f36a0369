"""How many cores this process really has: the kernel's affinity says which, a container's quota how much of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = _CGROUP) -> int:
    """At least 1. A quota of one and a half cores counts as two threads: the half would else be idle."""
    allowed, quota = len(os.sched_getaffinity(0)), _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores that a container may use, None where it has no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()  # version 2
    except (OSError, ValueError):
        try:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        share = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return share if share > 0 else None
