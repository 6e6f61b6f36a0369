"""The scenario's shape, as Locust walks along it."""

from __future__ import annotations

from typing import Any

from locust import LoadTestShape

from load.listening import Run
from load.shapes import users_at

_AT_ONCE = 100.0
"""Users started a second."""


class ScenarioShape(LoadTestShape):
    """As many users as the scenario has at this moment."""

    def tick(self) -> tuple[int, float] | None:
        """See Locust's ``LoadTestShape``."""
        assert self.runner is not None
        environment: Any = self.runner.environment
        run: Run | None = environment.run
        # Until all is prepared, and the run begins, no time passes.
        users = users_at(environment.scenario.load, self.get_run_time() if run is not None else 0.0)
        if users is not None or run is None:
            return users or 0, _AT_ONCE
        # A master that stops does not wait for what its workers counted at last; without users they have the time to tell.
        run.end()
        return None if run.told else (0, _AT_ONCE)
