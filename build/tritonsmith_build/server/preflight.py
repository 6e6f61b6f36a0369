"""What must hold before Triton is started, each with its fix: better one line here than a page in its log."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.repository import Steps, damage, pipeline_steps, read_manifest
from tritonsmith_build.server.plans import host, plan_problem

SHARED_MEMORY = Path("/dev/shm")
_NEEDED_SHARED_MEMORY = 64 * 2**20


@dataclass(frozen=True)
class Found:
    """The pipelines of a repository, by whether they can be served here."""

    ready: tuple[str, ...]
    not_ready: dict[str, str]
    """Why each of these cannot, and what to do."""
    backend_options: tuple[str, ...] = ()
    """What Triton must be told for their engines, as ``--backend-config`` takes it."""


def pipelines_in(repository: Path, target: str, backends: Collection[str], wanted: Sequence[str] = ()) -> Found:
    """Look at each ensemble (or those ``wanted``) and its artefacts for a target, on a server with these backends.

    Raises SmithError where there is no repository, a wanted pipeline is not in it, or none is ready.
    """
    if not repository.is_dir():
        raise SmithError("no such folder", where=repository, fix="run: tritonsmith build PIPELINE, or give --repository")
    steps = pipeline_steps(repository)
    if unknown := [name for name in wanted if name not in steps]:
        there = ", ".join(steps) or "none"
        raise SmithError(
            f"no pipeline {unknown[0]}; there are: {there}", where=repository, fix="correct --pipelines or build it"
        )
    built = {name: _engines(repository, steps[name], target) for name in (wanted or steps)}
    problems = {
        name: next(filter(None, (_problem(repository, name, target, entry, backends) for entry in entries)), None)
        for name, entries in built.items()
    }
    ready = tuple(name for name, problem in problems.items() if problem is None)
    not_ready = {name: problem for name, problem in problems.items() if problem is not None}
    if not ready or (wanted and not_ready):
        reasons = "; ".join(f"{name}: {problem}" for name, problem in not_ready.items()) or "it holds no pipeline"
        raise SmithError(f"nothing to serve: {reasons}", where=repository)
    plans = [plan for name in ready for entry in built[name] for plan in entry.get("plans", {}).values()]
    newer = ("tensorrt,version-compatible=true",) if any(plan["version_compatible"] for plan in plans) else ()
    return Found(ready, not_ready, newer)


def _engines(repository: Path, steps: Steps, target: str) -> list[dict[str, Any]]:
    """What each engine's manifest says of a target, nothing where it was not built for it; an ensemble has one at least."""
    manifests = [manifest for step, version in steps if (manifest := read_manifest(repository / step / str(version)))]
    return [manifest["targets"].get(target, {}) for manifest in manifests] or [{}]


def _problem(repository: Path, name: str, target: str, entry: dict[str, Any], backends: Collection[str]) -> str | None:
    rebuild = f"run: tritonsmith build {name}" + (f" --target {target}" if target != "cpu" else "")
    if "backend" not in entry:
        return f"not built for the {target} target; {rebuild}"
    if entry["backend"] not in backends:
        return f"this server has no {entry['backend']} backend; use the image of docs/containers.md, or serve --target cpu"
    if problem := next(damage(repository, entry["files"]), None):
        return f"{problem}; {rebuild}"
    if "plans" in entry and (problem := plan_problem(entry["plans"], host())):
        return f"{problem}; {rebuild} --precision {entry['precision']}"
    return None


def check_shared_memory() -> None:
    """Steps pass tensors through shared memory; SmithError where there is too little."""
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    if free < _NEEDED_SHARED_MEMORY:
        what = f"{free / 2**20:.0f} MiB of shared memory are free, {_NEEDED_SHARED_MEMORY / 2**20:.0f} are needed"
        raise SmithError(what, where=SHARED_MEMORY, fix="remove leftovers there, or give a container --shm-size 256m")
