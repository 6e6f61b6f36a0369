"""What to do about a fault: the mildest measure that may still help."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Literal

Measure = Literal["reload", "restart", "give up"]


@dataclass(frozen=True)
class Limits:
    """How often something may be mended before it counts as no help."""

    reloads: int = 10
    """Of one step, within ``reloads_within`` seconds: so often it may die and be mended."""
    reloads_within: float = 60.0
    restarts: int = 5
    """Of the server, within ``restarts_within`` seconds."""
    restarts_within: float = 600.0
    leaks: int = 10
    """Reloads after which the server is restarted at a quiet moment: Triton 2.51 never frees a model whose process died."""


class Ladder:
    """Remembers what was tried; times are seconds of one clock that never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._reloads: dict[str, deque[float]] = defaultdict(deque)
        self._restarts: deque[float] = deque()
        self._leaked = 0

    def measure(self, models: tuple[str, ...], now: float) -> Measure:
        """For a fault of these steps, or where none is named of the server itself."""
        limits = self.limits
        if models and all(_since(self._reloads[model], now - limits.reloads_within) < limits.reloads for model in models):
            return "reload"
        return "restart" if _since(self._restarts, now - limits.restarts_within) < limits.restarts else "give up"

    def reloaded(self, models: tuple[str, ...], now: float) -> None:
        """Take note of a measure taken."""
        for model in models:
            self._reloads[model].append(now)
        self._leaked += len(models)

    def restarted(self, now: float) -> None:
        """Take note of a measure taken against a fault."""
        self._restarts.append(now)
        self.refreshed()

    def refreshed(self) -> None:
        """Take note of a new server, whatever it was started for."""
        self._reloads.clear()
        self._leaked = 0

    @property
    def leaking(self) -> bool:
        """Whether the server had better be restarted when nobody is asking."""
        return self._leaked >= self.limits.leaks


def _since(times: deque[float], start: float) -> int:
    while times and times[0] < start:
        times.popleft()
    return len(times)
