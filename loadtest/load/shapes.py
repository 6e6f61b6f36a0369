"""How many users there are at each moment of a scenario."""

from __future__ import annotations

from load.scenario import Load


def users_at(load: Load, seconds: float) -> int | None:
    """Users at so many seconds from the beginning, None when the run is over."""
    if seconds >= load.seconds:
        return None
    if load.shape == "ramp":
        level = int(seconds / load.seconds * load.steps)
        return max(1, load.users >> (load.steps - 1 - level))
    if load.spike_users and load.seconds / 3 <= seconds < 2 * load.seconds / 3:
        return load.spike_users
    return load.users
