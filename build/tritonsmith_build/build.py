"""One pipeline from its spec to a proved, rendered repository: the stages in their order."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonsmith_build import repository as repo
from tritonsmith_build.batches import batches, run_all
from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import Examples, examples_from_file
from tritonsmith_build.facts import ModelFacts, lock_text
from tritonsmith_build.hashing import sha256
from tritonsmith_build.progress import Progress
from tritonsmith_build.render import VERSION, Names, rendered
from tritonsmith_build.source import locate
from tritonsmith_build.spec import PipelineSpec, Precision
from tritonsmith_build.stagecache import StageCache, code, digest, disk_errors, steps_code, versions
from tritonsmith_build.stages.gate import GateError, check
from tritonsmith_build.step_files import tokenize_settings
from tritonsmith_build.targets import TARGETS, Route, TargetName
from tritonsmith_build.tasks import TASKS

if TYPE_CHECKING:
    from tritonsmith_build.stages.graphs import EngineGraph

TOOLS = ("nvidia-modelopt", "torch", "transformers", "peft", "onnx", "onnxscript", "onnxruntime", "tokenizers", "tritonsmith")
_CALIBRATION_TEXTS = 256


@dataclass(frozen=True)
class Built:
    """What a build left in the repository."""

    pipeline: str
    manifest: dict[str, Any]
    changed: tuple[str, ...]
    """Paths inside the repository that were written; empty where all stood there already."""


def build_pipeline(
    spec: PipelineSpec,
    *,
    repository: Path,
    cache: StageCache,
    progress: Progress,
    precision: Precision | None = None,
    target: TargetName = "cpu",
) -> Built:
    """Build ``spec`` for a target into ``repository``; what other targets have there stays.

    Nothing in the repository is touched before every stage has succeeded. Raises SmithError.
    """
    if precision:
        spec = spec.model_copy(update={"engine": spec.engine.model_copy(update={"precision": precision})})
    if spec.engine.precision not in TARGETS[target].routes:
        fix = f"use one of {', '.join(TARGETS[target].routes)}, for example with --precision"
        what = f"{spec.engine.precision} does not run on the {target} target"
        raise SmithError(what, where=f"{spec.file}: engine.precision", fix=fix)
    with disk_errors(repository):
        return _Build(spec, target, cache, progress).into(repository)


class _Build:
    def __init__(self, spec: PipelineSpec, target: TargetName, cache: StageCache, progress: Progress) -> None:
        self.spec, self.cache, self.progress = spec, cache, progress
        self.task, self.target_name, self.target = TASKS[spec.task], target, TARGETS[target]
        self.weights: dict[str, float] = {"float": 1.0}

    def into(self, repository: Path) -> Built:
        with self.progress.stage(self.spec.name, "load") as stage:
            self.source = locate(self.spec)
            stage.note = ", ".join(f"{name} {sha[:12]}" for name, sha in self.source.weights.items())
        read = self._read()
        self.facts = ModelFacts.model_validate_json((read / "facts.json").read_text())
        self.tokenizer = read / "tokenizer.json"
        self.settings = tokenize_settings(self.spec, self.facts)
        self.gate_texts = examples_of(self.spec, self.spec.gate.data, "gate.txt")
        self._gate_file = self.spec.beside(self.spec.gate.data or Path("gate.txt"))
        exported = self._export()
        verified = self._verify(exported)
        engine, gated = self._proved(exported)
        return self._publish(repository, engine, verified, gated)

    # Each stage: its key, then what makes it. What is heavy to import is imported where it is needed, so that a
    # build with nothing to do takes no longer than reading a few files.

    def _stage(self, name: str, key: str, make: Callable[[Path], None], note: Callable[[Path], str] = lambda _: "") -> Path:
        with self.progress.stage(self.spec.name, name) as stage:
            stage.cached = self.cache.has(name, key)
            folder = self.cache.folder(name, key, make)
            stage.note = note(folder)
        return folder

    def _read(self) -> Path:
        spec = self.spec

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.read import read

            read(spec, self.source, folder)

        wishes = [part.model_dump(mode="json") for part in (spec.input, spec.output)]
        own = code("stages/read.py", "facts.py", "tasks.py")
        self._read_key = digest(
            own, versions("transformers", "tokenizers"), spec.task, wishes, self.source.files, self.source.adapter_files
        )
        return self._stage("read", self._read_key, make)

    @functools.cached_property
    def _graph(self) -> EngineGraph:
        from tritonsmith_build.stages.graphs import graph_for
        from tritonsmith_build.stages.model import model_from_source

        return graph_for(self.task.engine_output, model_from_source(self.spec, self.source, self.facts), self.facts)

    def _export(self) -> Path:
        def make(folder: Path) -> None:
            from tritonsmith_build.stages.export import onnx_from_graph

            onnx_from_graph(self._graph, self.facts, self.task.engine_output, folder / "model.onnx")

        own = code("stages/export.py", "stages/graphs.py", "stages/model.py")
        self._export_key = digest(own, self._read_key, versions("torch", "onnx", "onnxscript", "transformers", "peft"))
        return self._stage("export", self._export_key, make, _megabytes("model.onnx")) / "model.onnx"

    def _verify(self, exported: Path) -> list[dict[str, Any]]:
        texts, rows = self.gate_texts.texts, self.spec.engine.max_batch_size

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.verify import verify

            figures = verify(self._graph, exported, self.tokenizer, self.settings, texts, max_batch_size=rows)
            _write_figures(folder / "verify.json", figures)

        def note(folder: Path) -> str:
            worst = max(row["max_abs_difference"] for row in _figures(folder / "verify.json"))
            return f"differs from PyTorch by at most {worst:.1e}"

        key = digest(
            code("stages/verify.py", "batches.py"), _served_code(), self._export_key, versions("onnxruntime"), texts, rows
        )
        figures: list[dict[str, Any]] = _figures(self._stage("verify", key, make, note) / "verify.json")
        return figures

    def _proved(self, exported: Path) -> tuple[Path, dict[str, Any]]:
        """The engine at the spec's precision and what it proved; INT8 leaves out as little as the gate allows."""
        routes = self.target.routes[self.spec.engine.precision]
        if not routes:
            return exported, self._gate(exported, exported, self._export_key)
        for route in routes:
            engine, key = self._converted(exported, route)
            try:
                left_out = {"not_quantized": route.leave_out} if route.leave_out else {}
                return engine, {**left_out, **self._gate(exported, engine, key)}
            except GateError as error:
                failed = error
                self.progress.say(f"{self.spec.name}: with the MatMuls {route.leave_out} not quantized, {failed.what}")
        raise failed

    def _converted(self, exported: Path, route: Route) -> tuple[Path, str]:
        texts = examples_of(self.spec, self.spec.calibration.data, "calibration.txt").texts[:_CALIBRATION_TEXTS]

        def make(folder: Path) -> None:
            module, _, function = route.function.partition(":")
            convert = getattr(import_module(f"tritonsmith_build.stages.{module}"), function)
            data = list(batches(self.tokenizer, self.settings, texts, rows=1))
            convert(exported, folder / "model.onnx", data, leave_out=route.leave_out)
            from tritonsmith_build.stages.proof import weight_shares

            _write_figures(folder / "weights.json", weight_shares(folder / "model.onnx"))

        def note(folder: Path) -> str:
            shares = ", ".join(f"{share:.0%} {kind}" for kind, share in _figures(folder / "weights.json").items())
            return f"{_megabytes('model.onnx')(folder)}, products {shares}"

        own = code(*route.code, "stages/proof.py")
        key = digest(own, _served_code(), self._export_key, versions(*route.packages), texts, route.function, route.leave_out)
        folder = self._stage(self.spec.engine.precision, key, make, note)
        self.weights = _figures(folder / "weights.json")
        return folder / "model.onnx", key

    def _gate(self, exported: Path, engine: Path, engine_key: str) -> dict[str, Any]:
        examples, gate = self.gate_texts, self.spec.gate
        labels = examples.label_ids(self.facts.labels, where=self._gate_file) if self.facts.labels and examples.labels else []

        def make(folder: Path) -> None:
            from tritonsmith_steps.engine import session_from_file

            from tritonsmith_build.stages.gate import FIGURES

            def outputs(file: Path) -> Any:
                return run_all(session_from_file(file), batches(self.tokenizer, self.settings, examples.texts, rows=8))

            reference = outputs(exported)
            candidate = reference if engine == exported else outputs(engine)
            figures = FIGURES[self.task.engine_output](reference, candidate, labels, self.facts)
            _write_figures(folder / "gate.json", {"texts": len(examples.texts), **figures})

        def note(folder: Path) -> str:
            figures = _figures(folder / "gate.json")
            shown = [f"{name} {value:.4f}" for name, value in figures.items() if name in ("agreement", "accuracy", "cosine")]
            return f"{', '.join(shown)} on {figures['texts']} texts"

        own = code("stages/gate.py", "batches.py")
        key = digest(own, _served_code(), engine_key, self._export_key, versions("onnxruntime"), examples.texts, labels)
        figures: dict[str, Any] = _figures(self._stage("gate", key, make, note) / "gate.json")
        check(self.spec.name, gate, figures)
        return figures

    def _publish(self, repository: Path, engine: Path, verified: list[dict[str, Any]], gated: dict[str, Any]) -> Built:
        spec, names = self.spec, Names.of(self.spec)
        with self.progress.stage(spec.name, "render") as stage:
            folder = repository / names.engine / str(VERSION)
            files = {
                f"{names.engine}/{VERSION}/{self.target.artefact}": engine,
                f"{names.tokenize}/{VERSION}/tokenizer.json": self.tokenizer,
            }
            target = {
                "key": digest(self._export_key, spec.engine.precision, verified, gated),
                "precision": spec.engine.precision,
                "files": {path: {"sha256": sha256(file), "bytes": file.stat().st_size} for path, file in files.items()},
                "versions": versions(*TOOLS),
                "weights": self.weights,
                "verify": verified,
                "gate": gated,
            }
            manifest = {
                "pipeline": spec.name,
                "task": spec.task,
                "source": spec.source.model_dump(mode="json", exclude_none=True),
                "weights": self.facts.weights,
                "adapter": self.facts.adapter,
                "targets": {**(repo.read_manifest(folder) or {}).get("targets", {}), self.target_name: target},
            }
            texts = rendered(spec, self.facts)
            changed = repo.stale(repository, texts)
            new: dict[Path, Path | str] = {repository / path: texts[path] for path in changed}
            if repo.read_manifest(folder) != manifest or not _stand(repository, target["files"]):
                # The manifest comes last: one that is there speaks of an engine that is there.
                record = f"{names.engine}/{VERSION}/{repo.MANIFEST}"
                new |= {repository / path: file for path, file in files.items()}
                new[repository / record] = json.dumps(manifest, indent=2) + "\n"
                changed += [*files, record]
            repo.place_files({**self._lock(), **new})
            stage.note = f"{len(changed)} files written to {repository}" if changed else f"unchanged in {repository}"
        return Built(spec.name, manifest, tuple(changed))

    def _lock(self) -> dict[Path, str]:
        """The lock file, where it says something else."""
        file, text = self.spec.lock_file, lock_text(self.spec, self.facts)
        return {file.parent / name: text for name in repo.stale(file.parent, {file.name: text})}


def examples_of(spec: PipelineSpec, data: Path | None, default: str) -> Examples:
    """The spec's own examples, or those that this package brings for specs that name none."""
    if data is not None:
        return examples_from_file(spec.beside(data))
    with resources.as_file(resources.files("tritonsmith_build") / "data" / default) as file:
        return examples_from_file(file)


def _stand(repository: Path, files: Any) -> bool:
    """Whether every artefact is there in the size the manifest says; its hash is checked before serving."""
    return all(
        (repository / path).is_file() and (repository / path).stat().st_size == said["bytes"] for path, said in files.items()
    )


def _served_code() -> str:
    return steps_code("arrays.py", "tokenize.py", "engine.py")


def _write_figures(file: Path, figures: object) -> None:
    file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _figures(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _megabytes(name: str) -> Callable[[Path], str]:
    return lambda folder: f"{(folder / name).stat().st_size / 1e6:.0f} MB"
