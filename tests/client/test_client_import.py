from __future__ import annotations

import os
import subprocess
import sys

import pytest

OTHERS = {"tritonclient", "tritonsmith", "tritonsmith_build"}
LATER = {"aiohttp", "gevent", "grpc", "tenacity"}
"""What the client loads when it is needed."""
HEAVY = LATER | {"onnxruntime", "openvino", "pydantic", "rich", "torch", "transformers", "typer"}


def loaded_by(statement: str) -> set[str]:
    """Names of all top-level modules in a fresh interpreter after a statement, which must succeed."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "needed", "unwanted"),
    [
        ("import tritonsmith", {"numpy", "tritonclient"}, {*HEAVY, "tokenizers", "tritonsmith_build", "tritonsmith_steps"}),
        ("import tritonsmith_steps.tokenize", {"numpy", "tokenizers"}, {*HEAVY, *OTHERS}),
        ("import tritonsmith_steps.engine", {"numpy"}, {*HEAVY, *OTHERS, "tokenizers"}),
        ("import tritonsmith_steps.classify", {"numpy"}, {*HEAVY, *OTHERS, "tokenizers"}),
        ("import tritonsmith_steps.embed", {"numpy"}, {*HEAVY, *OTHERS, "tokenizers"}),
    ],
    ids=["client", "tokenize", "engine", "classify", "embed"],
)
def test_importing_loads_no_more_than_it_needs(statement: str, needed: set[str], unwanted: set[str]) -> None:
    loaded = loaded_by(statement)
    assert needed <= loaded
    assert loaded & unwanted == set()
