"""All that a server tells anybody about what passes through it."""

from __future__ import annotations

import json
import urllib.request

from served import Served
from tritonsmith_build.server.keys import headers


def at_length(served: Served) -> None:
    """Let Triton log all that it can."""
    wanted = json.dumps({"log_verbose_level": 6, "log_info": True, "log_warning": True, "log_error": True}).encode()
    request = urllib.request.Request(f"{served.http}/v2/logging", wanted, headers(served.key))
    assert urllib.request.urlopen(request, timeout=10).status == 200


def told(served: Served) -> dict[str, str]:
    """Its logs, metrics and reports, by what they are."""
    pages = {"metrics": served.metrics, "supervisor": f"{served.health}/metrics", "ready": f"{served.health}/readyz"}
    logs = {"log": served.log, "events": served.log.with_suffix(".events.jsonl"), "requests": served.requests}
    return {
        **{name: file.read_text(errors="replace") if file.exists() else "" for name, file in logs.items()},
        **{name: _page(url) for name, url in pages.items()},
    }


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as page:
        text: str = page.read().decode()
    return text
