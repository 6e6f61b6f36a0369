"""Configurations as a deployed copy has them: as rendered, but for the versions they name. Standard library only."""

from __future__ import annotations

import re

_POLICY = re.compile(r"^version_policy \{\n(?:  .*\n)*\}\n", re.MULTILINE)
_PIN = re.compile(r"model_version: \d+")
_STEP = re.compile(r'model_name: "[^"]+"')


def step_text(text: str) -> str:
    """A step's: it serves the versions whose folders are there.

    So a version comes and goes without a change of this file, and Triton restarts none of the others.
    """
    return _POLICY.sub("", text) + "version_policy {\n  all {\n  }\n}\n"


def ensemble_text(text: str, version: int, *, through: str | None = None) -> str:
    """An ensemble's, of one version whose steps have the same; ``through`` is asked in place of its only step."""
    text = _PIN.sub(f"model_version: {version}", _POLICY.sub("", text))
    if through is not None:
        text = _STEP.sub(f'model_name: "{through}"', text)
    return text + f"version_policy {{\n  specific {{\n    versions: [{version}]\n  }}\n}}\n"


def is_ensemble(text: str) -> bool:
    """Whether a configuration is an ensemble's."""
    return re.search(r'^platform: "ensemble"$', text, re.MULTILINE) is not None
