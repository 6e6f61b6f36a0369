"""What a probe of Kubernetes would see of a supervisor, many times a second."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

_PAUSE = 0.02


class Readiness:
    """Asks ``/readyz`` while its context lasts."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/readyz"
        self.seen: list[tuple[float, bool]] = []
        """When it answered, by ``time.monotonic``, and whether it said yes."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_PAUSE):
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
