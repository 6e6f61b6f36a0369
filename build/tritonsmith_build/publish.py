"""A proved engine put into the repository with all that serves it, the manifest last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonsmith_steps.drift import FILE as REFERENCE

from tritonsmith_build import repository as repo
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.hashing import sha256
from tritonsmith_build.lock import lock_text
from tritonsmith_build.render import Names, overlay, rendered
from tritonsmith_build.server.canary import canary_file
from tritonsmith_build.stagecache import digest, versions
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.targets import Target, TargetName
from tritonsmith_build.tasks import TASKS

TOOLS = ("nvidia-modelopt", "torch", "transformers", "peft", "onnx", "onnxscript", "onnxruntime", "tokenizers", "tritonsmith")


@dataclass(frozen=True)
class Built:
    """What a build left in the repository."""

    pipeline: str
    manifest: dict[str, Any]
    changed: tuple[str, ...]
    """Paths inside the repository that were written; empty where all stood there already."""


@dataclass(frozen=True)
class Proved:
    """An engine and what it proved."""

    file: Path
    name: str
    """Its file's name in the repository."""
    record: Mapping[str, Any]
    """What the manifest says of it."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """What the server needs beside it, by name."""
    compute_capability: str | None = None
    """Of the one kind of GPU it runs on, where it is a plan."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says of that plan alone."""


class Publication:
    """One target's part of one pipeline's repository."""

    def __init__(self, repository: Path, spec: PipelineSpec, facts: ModelFacts, name: TargetName, target: Target) -> None:
        self._repository, self._spec, self._facts, self._name, self._target = repository, spec, facts, name, target
        self._names = Names.of(spec)
        self._folder = f"{self._names.engine}/{repo.VERSION}"

    def write(self, engine: Proved, read: Path, canaries: Path, references: Path) -> Built:
        """Place what is new or other than before, each file whole; what other targets have there stays.

        ``read`` has the files that the model's modality needs, ``canaries`` and ``references`` a folder a step.
        """
        manifest = repo.read_manifest(self._repository / self._folder) or {}
        before = manifest.get("targets", {}).get(self._name, {})
        artefacts = {f"{self._folder}/{name}": file for name, file in {engine.name: engine.file, **engine.beside}.items()}
        task = TASKS[self._spec.task]
        readers = [self._names.first, *([self._names.answer] if task.answers_with_tokenizer else [])]
        artefacts |= {f"{step}/{repo.VERSION}/{name}": read / name for step in readers for name in task.modality.files}
        canary = canary_file(self._name)
        artefacts |= {f"{step}/{repo.VERSION}/{canary}": canaries / step / canary for step in self._names.steps}
        compared = (self._names.first, self._names.answer)
        artefacts |= {f"{step}/{repo.VERSION}/{REFERENCE}": references / step / REFERENCE for step in compared}
        target = self._entry(engine, artefacts, before)
        wanted = {
            "pipeline": self._spec.name,
            "task": self._spec.task,
            "source": self._spec.source.model_dump(mode="json", exclude_none=True),
            "weights": self._facts.weights,
            "adapter": self._facts.adapter,
            "targets": {**manifest.get("targets", {}), self._name: target},
        }
        texts = rendered(self._spec, self._facts)
        if plans := target.get("plans"):
            texts |= overlay(self._spec, self._facts, {gpu: Path(plan["file"]).name for gpu, plan in plans.items()})
        changed = repo.stale(self._repository, texts)
        new: dict[Path, Path | str] = {self._repository / path: texts[path] for path in changed}
        if manifest != wanted or not self._stand(target["files"]):
            # The manifest comes last: one that is there speaks of an engine that is there.
            record = f"{self._folder}/{repo.MANIFEST}"
            new |= {self._repository / path: file for path, file in artefacts.items()}
            new[self._repository / record] = json.dumps(wanted, indent=2) + "\n"
            changed += [*artefacts, record]
        repo.place_files({**self._lock(), **new})
        return Built(self._spec.name, wanted, tuple(changed))

    def _entry(self, engine: Proved, artefacts: Mapping[str, Path], before: Mapping[str, Any]) -> dict[str, Any]:
        files = {path: {"sha256": sha256(file), "bytes": file.stat().st_size} for path, file in artefacts.items()}
        entry = {
            "key": digest(self._spec.engine.precision, dict(engine.record)),
            "precision": self._spec.engine.precision,
            "backend": self._target.backend,
            "files": files,
            "versions": versions(*TOOLS),
            **engine.record,
        }
        if engine.compute_capability is None:
            return entry
        # Plans of the same graph for other GPUs stay: one repository serves several kinds.
        others = before.get("plans", {}) if before.get("key") == entry["key"] else {}
        kept = {plan["file"]: before["files"][plan["file"]] for plan in others.values()}
        plan = {"file": f"{self._folder}/{engine.name}", **engine.plan}
        return {**entry, "files": {**kept, **files}, "plans": {**others, engine.compute_capability: plan}}

    def _stand(self, files: Mapping[str, Any]) -> bool:
        """Whether every artefact is there in the size the manifest says; its hash is checked before serving."""
        places = {self._repository / path: said["bytes"] for path, said in files.items()}
        return all(file.is_file() and file.stat().st_size == size for file, size in places.items())

    def _lock(self) -> dict[Path, str]:
        """The lock file, where it says something else."""
        file, text = self._spec.lock_file, lock_text(self._spec, self._facts)
        return {file.parent / name: text for name in repo.stale(file.parent, {file.name: text})}
