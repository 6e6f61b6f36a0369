"""Locust's own entry: ``locust -f loadtest/locustfile.py --scenario loadtest/scenarios/steady.toml --host grpc://localhost:8001``.

docs/loadtest.md shows its web page, several workers, and ``python -m load``, which also reports and keeps the exit code.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # Locust imports this file by its path

from load.listening import listen
from load.users import GrpcUser, HttpUser
from load.walking import ScenarioShape

__all__ = ["GrpcUser", "HttpUser", "ScenarioShape"]

listen()
