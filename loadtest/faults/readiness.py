"""What a probe of Kubernetes would see of a supervisor, many times a second."""

from __future__ import annotations

import time
import urllib.request

from load.repeating import Repeating

_PAUSE = 0.02


class Readiness(Repeating):
    """Asks ``/readyz`` while its context lasts."""

    def __init__(self, url: str) -> None:
        super().__init__(_PAUSE)
        self._url = f"{url}/readyz"
        self.seen: list[tuple[float, bool]] = []
        """When it answered, by ``time.monotonic``, and whether it said yes."""

    def turn(self) -> None:
        """Ask once."""
        ready = self._ready()
        self.seen.append((time.monotonic(), ready))

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def first(self, ready: bool, since: float) -> float | None:
        """Seconds until it first said so after a moment."""
        return next((moment - since for moment, said in self.seen if moment > since and said is ready), None)
