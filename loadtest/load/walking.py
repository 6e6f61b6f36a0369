"""The scenario's shape, as Locust walks along it."""

from __future__ import annotations

from locust import LoadTestShape

from load.scenario import Scenario
from load.shapes import users_at

_AT_ONCE = 100.0
"""Users started a second."""


class ScenarioShape(LoadTestShape):
    """As many users as the scenario has at this moment."""

    def tick(self) -> tuple[int, float] | None:
        """See Locust's ``LoadTestShape``."""
        assert self.runner is not None
        scenario: Scenario = self.runner.environment.scenario  # type: ignore[attr-defined]
        users = users_at(scenario.load, self.get_run_time())
        return None if users is None else (users, _AT_ONCE)
