"""What all tests share: where things are, and one cache of build stages for the whole run."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
os.environ.setdefault("TRITONSMITH_CACHE", str(ROOT / ".tritonsmith" / "cache"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
