"""Where Triton sends the traces of requests: a collector that takes OpenTelemetry's protocol over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tritonsmith_build.errors import SmithError

_PATH = "/v1/traces"


@dataclass(frozen=True)
class Otlp:
    """A collector, and how many requests it hears of."""

    url: str
    every: int
    """Of so many requests one is traced."""

    def flags(self) -> list[str]:
        """As Triton takes them."""
        settings = (
            "mode=opentelemetry",
            "level=TIMESTAMPS",
            f"rate={self.every}",
            f"opentelemetry,url={self.url}",
            "opentelemetry,resource=service.name=tritonsmith",
        )
        return [f"--trace-config={setting}" for setting in settings]


def otlp_to(url: str | None, every: int) -> Otlp | None:
    """From the options of a command line. Raises SmithError for what is no collector's address."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fix = "give a collector's address for OTLP over HTTP, for example http://localhost:4318"
        raise SmithError(f"{url!r} is none that Triton can send to", where="--otlp", fix=fix)
    return Otlp(url if parts.path.strip("/") else f"{url.rstrip('/')}{_PATH}", every)
