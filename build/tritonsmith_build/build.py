"""One pipeline from its spec to a proved, rendered repository: the stages in their order."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonsmith_steps.runtimes import FILE as CHOICES

from tritonsmith_build.choosing import Choosing
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.host import GpuHost, gpu_host
from tritonsmith_build.origin import origin_of, stage_function
from tritonsmith_build.progress import Progress
from tritonsmith_build.proving import Graph, Proving
from tritonsmith_build.publish import Built, Proved, Publication
from tritonsmith_build.reduced import said_of_given
from tritonsmith_build.render import rendered
from tritonsmith_build.scripted import folder_from_script
from tritonsmith_build.source import locate
from tritonsmith_build.stagecache import StageCache, code, digest, disk_errors, steps_code, versions
from tritonsmith_build.stages.gate import check
from tritonsmith_build.tables import PipelineSpec, Precision
from tritonsmith_build.targets import TARGETS, TargetName
from tritonsmith_build.work import Work, figures_in, megabytes, write_figures

if TYPE_CHECKING:
    from tritonsmith_build.stages.verify import Original


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
        return _Build(Work(spec, cache, progress), target, host).into(repository)


class _Build:
    def __init__(self, work: Work, target: TargetName, host: GpuHost | None) -> None:
        self.work, self.spec, self.host = work, work.spec, host
        self.task, self.modality = work.task, work.modality
        self.target_name, self.target = target, TARGETS[target]
        self.origin = origin_of(self.spec)

    def into(self, repository: Path) -> Built:
        made = folder_from_script(self.work) if self.spec.source.script else None
        with self.work.progress.stage(self.spec.name, "load") as stage:
            self.source = locate(self.spec, made)
            stage.note = ", ".join(f"{name} {sha[:12]}" for name, sha in self.source.weights.items())
        read = self._read()
        self.work.know(self.modality.facts.model_validate_json((read / "facts.json").read_text()), read)
        fp32 = self._fp32()
        fp32.record["verify"] = self._verify(fp32)
        graph = Proving(self.work, fp32).proved(self.target.routes[self.spec.engine.precision])
        record = {"verify": fp32.record["verify"], **graph.record}
        engine = Proved(graph.file, self.target.artefact, record)
        if self.target.chooses:
            file, table = Choosing(self.work, fp32).chosen(graph)
            engine = replace(engine, record={**record, "engines": table}, beside={file.name: file})
        if self.host is not None:
            engine = self._planned(self.host, fp32.file, graph, record)
        canaries = self._canaries(fp32, graph, engine)
        references = self._references(fp32)
        with self.work.progress.stage(self.spec.name, "render") as stage:
            publication = Publication(repository, self.spec, self.work.facts, self.target_name, self.target)
            built = publication.write(engine, self.work.folder, canaries, references)
            changed = f"{len(built.changed)} files written to {repository}"
            stage.note = changed if built.changed else f"unchanged in {repository}"
        return built

    # Each stage: its key, then what makes it. What is heavy to import is imported where it is needed, so that a
    # build with nothing to do takes no longer than reading a few files.

    def _read(self) -> Path:
        spec = self.spec

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.read import read

            read(spec, self.source, folder)

        wishes = [part.model_dump(mode="json") for part in (spec.input, spec.output)]
        reader = f"stages/{self.origin.reads(self.modality).partition(':')[0]}.py"
        shared = ("stages/read.py", "stages/beside.py", "facts.py", "task.py", "tasks/labels.py")
        own = code(*shared, reader, *self.origin.read_code, *self.modality.code, self.task.file)
        named = (spec.source.onnx, spec.source.output, self.source.weights)
        files = (self.source.files, self.source.adapter_files)
        self._read_key = digest(own, versions("transformers", "tokenizers"), spec.task, wishes, named, *files)
        return self.work.stage("read", self._read_key, make)

    @functools.cached_property
    def _original(self) -> Original:
        made: Original = stage_function(self.origin.original)(self.spec, self.source, self.work.facts)
        return made

    def _fp32(self) -> Graph:
        def make(folder: Path) -> None:
            axes, file = self.modality.axes(self.work.facts), folder / "model.onnx"
            stage_function(self.origin.write)(self._original, axes, self.modality.dtypes, self.task.engine_output, file)

        key = digest(code(*self.origin.code), self._read_key, versions(*self.origin.packages))
        folder = self.work.stage(self.origin.stage, key, make, megabytes("model.onnx"))
        return Graph(folder / "model.onnx", key, said_of_given(self.spec, self.target, folder))

    def _verify(self, exported: Graph) -> list[dict[str, Any]]:
        work, rows = self.work, self.spec.engine.max_batch_size

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.verify import verify

            shapes = self.modality.shapes(work.facts)
            figures = verify(self._original, exported.file, work.gate, shapes, max_batch_size=rows)
            write_figures(folder / "verify.json", figures)

        def note(folder: Path) -> str:
            worst = max(row["max_abs_difference"] for row in figures_in(folder / "verify.json"))
            return f"differs from {self.origin.compared} by at most {worst:.1e}"

        own = code("stages/verify.py")
        key = digest(own, work.proved_by, exported.key, versions("onnxruntime"), work.gate.key, rows)
        figures: list[dict[str, Any]] = figures_in(work.stage("verify", key, make, note) / "verify.json")
        return figures

    def _canaries(self, fp32: Graph, graph: Graph, engine: Proved) -> Path:
        """What a supervisor asks the steps, and what they must answer."""
        choices = next((file.parent for name, file in engine.beside.items() if name == CHOICES), None)

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.canary import canaries

            canaries(self.work, self.target_name, fp32.file, graph.file, choices, folder)

        own = code("stages/canary.py", "stages/local_steps.py", "server/canary.py", "server/health.py", "server/wire.py")
        texts = rendered(self.spec, self.work.facts)
        chosen = choices and figures_in(choices / CHOICES)
        key = digest(own, steps_code(), self._read_key, texts, fp32.key, graph.key, self.target_name, chosen)
        return self.work.stage("canary", key, make)

    def _references(self, fp32: Graph) -> Path:
        """What the steps see of the gate's data, with which the server compares what callers send."""
        spec = self.spec

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.reference import references

            references(self.work, fp32.file, folder)

        own = code("stages/reference.py", "stages/local_steps.py")
        asked = self.work.drift.key if spec.drift.watch else None
        texts = rendered(spec, self.work.facts)
        key = digest(own, steps_code(), self._read_key, texts, fp32.key, asked, spec.drift.model_dump(mode="json"))
        return self.work.stage("reference", key, make)

    def _planned(self, host: GpuHost, exported: Path, graph: Graph, record: dict[str, Any]) -> Proved:
        """The graph's plan for this host's GPU, read, verified, gated and measured there."""
        from tritonsmith_build.gpu.planning import Planning

        work = self.work
        planning = Planning(host, self.spec, work.facts)
        samples, labels = work.gate, work.gate_labels

        def build(folder: Path) -> None:
            planning.build(graph.file, folder, work.cache.root / "timings")

        def prove(folder: Path) -> None:
            write_figures(folder / "plan.json", planning.prove(plan, exported, self._original, samples, labels))

        own = code("gpu/plan.py", "gpu/logger.py", "gpu/options.py", "gpu/profiles.py", "gpu/planning.py")
        key = digest(own, graph.key, planning.depends_on)
        built = work.stage("plan", key, build, megabytes("model.plan"))
        plan = built / "model.plan"
        own = code("gpu/running.py", "gpu/inspection.py", "gpu/verify.py", "stages/gate.py")
        proved = work.stage("prove", digest(own, work.proved_by, key, host.gpu.driver, samples.key, labels), prove)
        figures = {**figures_in(proved / "plan.json"), "network": figures_in(built / "network.json")}
        check(f"{self.spec.name} on {host.gpu.name}", self.spec.gate, figures["gate"])
        return Proved(plan, host.plan_name, record, compute_capability=host.gpu.compute_capability, plan=figures)
