"""Where the benchmark keeps what it makes: everything below ``.tritonsmith`` but the page and its data."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".tritonsmith" / "bench"
LOGS = WORK / "logs"
BODIES = WORK / "bodies"
MODELS = WORK / "models"
ENVIRONMENTS = ROOT / ".tritonsmith" / "peers"
PEERS = ROOT / "loadtest" / "peers"
DOCS = ROOT / "docs" / "benchmarks"
RESULTS = DOCS / "results.json"
NOTES = DOCS / "notes.md"
PAGE = ROOT / "docs" / "benchmarks.md"
UNFINISHED = WORK / "results.json"


def slug(name: str) -> str:
    """A name as a file's.

    >>> slug("FastAPI + ONNX Runtime, INT8")
    'fastapi-onnx-runtime-int8'
    """
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())
