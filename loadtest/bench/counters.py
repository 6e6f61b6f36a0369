"""What a Triton counts of itself."""

from __future__ import annotations

import re
from urllib.request import urlopen

_METRICS = {"hits": "nv_cache_num_hits_per_model", "misses": "nv_cache_num_misses_per_model"}


def cache_counts(url: str) -> dict[str, float]:
    """How many requests the response cache has answered and not; none where there is no such server or cache."""
    if not url:
        return dict.fromkeys(_METRICS, 0.0)
    with urlopen(url, timeout=10) as reply:
        page = reply.read().decode()
    return {name: counted(page, metric) for name, metric in _METRICS.items()}


def counted(page: str, metric: str) -> float:
    """The sum over all models of one metric.

    >>> counted('a{model="x"} 2\\na{model="y"} 3\\nab{model="x"} 9\\n', "a")
    5.0
    """
    return sum((float(value) for value in re.findall(rf"^{metric}(?:{{.*?}})? (\S+)$", page, re.MULTILINE)), 0.0)
