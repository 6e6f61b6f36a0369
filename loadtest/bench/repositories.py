"""The model repositories that are served, one a precision, and the steps inside them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.pipelines import FOLDER, specs_named
from tritonsmith_build.render import Names
from tritonsmith_build.repository import VERSION
from tritonsmith_build.targets import TARGETS

from bench.places import LOGS, ROOT, WORK

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
PIPELINE = "embeddings"


@dataclass(frozen=True)
class Steps:
    """The version folders of one pipeline's steps, and the engine's file."""

    tokenize: Path
    engine: Path
    answer: Path
    artefact: str

    @classmethod
    def of(cls, repository: Path, pipeline: str = PIPELINE) -> Steps:
        """In a repository built for the ``cpu`` target."""
        (spec,) = specs_named([pipeline], ROOT / FOLDER)
        tokenize, engine, answer = (repository / step / str(VERSION) for step in Names.of(spec).steps)
        return cls(tokenize, engine, answer, TARGETS["cpu"].artefact)

    @property
    def runs_on(self) -> str:
        """What the build chose to serve the engine with, as ``openvino bf16``."""
        first = json.loads((self.engine / "engines.json").read_text(encoding="utf-8"))[0]
        return f"{first['runtime']} {first['compute']}"


def built(precision: Precision) -> Path:
    """The repository of the ``embeddings`` pipeline at a precision; what the build has cached is not done again."""
    return built_from([PIPELINE], precision, WORK / precision)


def built_from(pipelines: Sequence[str | Path], precision: Precision, repository: Path) -> Path:
    """A repository made by ``tritonsmith build``, in a process of its own: it leaves nothing in this one's memory."""
    command = [sys.executable, "-m", "tritonsmith_build", "build", *map(str, pipelines)]
    command += ["--precision", precision, "--repository", str(repository)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / f"build-{precision}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise SmithError(f"the build failed: {done.stderr.strip()[-300:]}", where=repository)
    return repository
