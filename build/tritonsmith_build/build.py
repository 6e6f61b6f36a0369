"""One pipeline from its spec to a proved, rendered repository: the stages in their order."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonsmith_build.batches import batches, run_all
from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import Examples, examples_from_file
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.gpu.host import GpuHost, gpu_host
from tritonsmith_build.progress import Progress
from tritonsmith_build.publish import Built, Proved, Publication
from tritonsmith_build.source import locate
from tritonsmith_build.spec import PipelineSpec, Precision
from tritonsmith_build.stagecache import StageCache, code, digest, disk_errors, steps_code, versions
from tritonsmith_build.stages.gate import GateError, check
from tritonsmith_build.step_files import tokenize_settings
from tritonsmith_build.targets import TARGETS, Route, TargetName
from tritonsmith_build.tasks import TASKS

if TYPE_CHECKING:
    from tritonsmith_build.stages.graphs import EngineGraph

_CALIBRATION_TEXTS = 256


@dataclass(frozen=True)
class _Graph:
    """The graph of a precision, gated on a CPU."""

    file: Path
    key: str
    record: dict[str, Any]
    """What the manifest says of it."""


def build_pipeline(
    spec: PipelineSpec,
    *,
    repository: Path,
    cache: StageCache,
    progress: Progress,
    precision: Precision | None = None,
    target: TargetName = "cpu",
    host: GpuHost | None = None,
) -> Built:
    """Build ``spec`` for a target into ``repository``; what other targets have there stays.

    ``host`` is what a plan is built with and for, this machine's GPU where none is given. Nothing in the repository is
    touched before every stage has succeeded. Raises SmithError, for a missing GPU before anything else.
    """
    if TARGETS[target].plan and host is None:
        host = gpu_host()
    if precision:
        spec = spec.model_copy(update={"engine": spec.engine.model_copy(update={"precision": precision})})
    if spec.engine.precision not in TARGETS[target].routes:
        fix = f"use one of {', '.join(TARGETS[target].routes)}, for example with --precision"
        what = f"{spec.engine.precision} does not run on the {target} target"
        raise SmithError(what, where=f"{spec.file}: engine.precision", fix=fix)
    with disk_errors(repository):
        return _Build(spec, target, cache, progress, host).into(repository)


class _Build:
    def __init__(
        self, spec: PipelineSpec, target: TargetName, cache: StageCache, progress: Progress, host: GpuHost | None
    ) -> None:
        self.spec, self.cache, self.progress, self.host = spec, cache, progress, host
        self.task, self.target_name, self.target = TASKS[spec.task], target, TARGETS[target]

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
        graph = self._proved(exported)
        record = {**graph.record, "verify": verified}
        engine = Proved(graph.file, self.target.artefact, record)
        if self.host is not None:
            engine = self._planned(self.host, exported, graph, record)
        with self.progress.stage(self.spec.name, "render") as stage:
            publication = Publication(repository, self.spec, self.facts, self.target_name, self.target)
            built = publication.write(engine, self.tokenizer)
            changed = f"{len(built.changed)} files written to {repository}"
            stage.note = changed if built.changed else f"unchanged in {repository}"
        return built

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

    def _proved(self, exported: Path) -> _Graph:
        """The graph at the spec's precision and what it proved; INT8 leaves out as little as the gate allows."""
        routes = self.target.routes[self.spec.engine.precision]
        if not routes:
            gated = self._gate(exported, exported, self._export_key)
            return _Graph(exported, self._export_key, {"weights": {"float": 1.0}, "gate": gated})
        for route in routes:
            graph = self._converted(exported, route)
            try:
                gated = self._gate(exported, graph.file, graph.key)
            except GateError as error:
                failed = error
                self.progress.say(f"{self.spec.name}: with the MatMuls {route.leave_out} not quantized, {failed.what}")
            else:
                left_out = {"not_quantized": route.leave_out} if route.leave_out else {}
                return replace(graph, record={**graph.record, "gate": {**left_out, **gated}})
        raise failed

    def _converted(self, exported: Path, route: Route) -> _Graph:
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
        return _Graph(folder / "model.onnx", key, {"weights": _figures(folder / "weights.json")})

    def _gate(self, exported: Path, engine: Path, engine_key: str) -> dict[str, Any]:
        examples, labels = self.gate_texts, self._gate_labels

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
        check(self.spec.name, self.spec.gate, figures)
        return figures

    @property
    def _gate_labels(self) -> list[int]:
        if not (self.facts.labels and self.gate_texts.labels):
            return []
        return self.gate_texts.label_ids(self.facts.labels, where=self._gate_file)

    def _planned(self, host: GpuHost, exported: Path, graph: _Graph, record: dict[str, Any]) -> Proved:
        """The graph's plan for this host's GPU, read, verified, gated and measured there."""
        from tritonsmith_build.gpu.planning import Planning

        planning = Planning(host, self.spec, self.facts, self.settings)
        texts, labels = self.gate_texts.texts, self._gate_labels

        def build(folder: Path) -> None:
            planning.build(graph.file, folder, self.cache.root / "timings")

        def prove(folder: Path) -> None:
            figures = planning.prove(plan, exported, self._graph, self.tokenizer, texts, labels)
            _write_figures(folder / "plan.json", figures)

        own = code("gpu/plan.py", "gpu/logger.py", "gpu/options.py", "gpu/profiles.py", "gpu/planning.py")
        key = digest(own, graph.key, planning.depends_on)
        built = self._stage("plan", key, build, _megabytes("model.plan"))
        plan = built / "model.plan"
        own = code("gpu/running.py", "gpu/inspection.py", "gpu/verify.py", "stages/gate.py")
        proved = self._stage("prove", digest(own, key, host.gpu.driver, texts, labels), prove)
        figures = {**_figures(proved / "plan.json"), "network": _figures(built / "network.json")}
        check(f"{self.spec.name} on {host.gpu.name}", self.spec.gate, figures["gate"])
        return Proved(plan, host.plan_name, record, host.gpu.compute_capability, figures)


def examples_of(spec: PipelineSpec, data: Path | None, default: str) -> Examples:
    """The spec's own examples, or those that this package brings for specs that name none."""
    if data is not None:
        return examples_from_file(spec.beside(data))
    with resources.as_file(resources.files("tritonsmith_build") / "data" / default) as file:
        return examples_from_file(file)


def _served_code() -> str:
    return steps_code("arrays.py", "tokenize.py", "engine.py")


def _write_figures(file: Path, figures: object) -> None:
    file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _figures(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _megabytes(name: str) -> Callable[[Path], str]:
    return lambda folder: f"{(folder / name).stat().st_size / 1e6:.0f} MB"
