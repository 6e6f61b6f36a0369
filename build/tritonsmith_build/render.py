"""The repository's committed text, from spec and facts alone: the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritonsmith_build.facts import ModelFacts, TextFacts
from tritonsmith_build.messages import (
    Message,
    ensembles,
    entries,
    header,
    interface,
    named,
    python_step,
    queue,
    ragged,
    step_files,
    step_of,
    tensors,
    version_folder,
)
from tritonsmith_build.modality import Shape
from tritonsmith_build.pbtxt import Word, config_from_text, pbtxt
from tritonsmith_build.redacting import REDACT, redacting_of
from tritonsmith_build.step_files import step_settings
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.targets import TARGETS
from tritonsmith_build.task import Task, Tensor
from tritonsmith_build.tasks import TASKS

ROWS = 4096
"""Of one request, where items become several rows: what a Python step takes at once, and a CPU's engine, which is one."""
_AHEAD = 3
"""Batches that may wait at a CPU's engine: two, and the one that the step before it had begun (``tritonsmith_steps.room``)."""
OVERLAY = "host-tensorrt"
"""The configuration, by Triton's name for it, that says which plans this host has. It is not committed."""


@dataclass(frozen=True)
class Names:
    """The Triton models of one pipeline's steps."""

    first: str
    engine: str
    answer: str

    @classmethod
    def of(cls, spec: PipelineSpec) -> Names:
        """By the spec's name and the steps of its task."""
        task = TASKS[spec.task]
        return cls(*(f"{spec.name}_{suffix}" for suffix in (task.modality.step, "engine", task.step)))

    @property
    def steps(self) -> tuple[str, str, str]:
        """In the order in which data flows."""
        return self.first, self.engine, self.answer


def rendered(spec: PipelineSpec, facts: ModelFacts) -> dict[str, str]:
    """Every committed file of a pipeline, by its path inside the repository.

    Each configuration is read back with Triton's protobuf before it is returned.
    """
    names = Names.of(spec)
    whole = _ensembles(spec, facts, names)
    configs = {
        **{f"{name}/config.pbtxt": ensemble for name, ensemble in whole.items()},
        **{_config(names.first, name): _first(spec, facts, names, name) for name in TASKS[spec.task].modality.parameters},
        f"{names.engine}/config.pbtxt": _engine_tensorrt(spec, facts, names),
        f"{names.engine}/configs/cpu.pbtxt": _engine_cpu(spec, facts, names),
        f"{names.engine}/configs/onnxruntime.pbtxt": _engine_onnxruntime(spec, facts, names),
        f"{names.answer}/config.pbtxt": _answer(spec, facts, names),
    }
    if redacting := redacting_of(spec):
        configs[f"{redacting.model}/config.pbtxt"] = redacting.config
    files = {path: header(spec) + pbtxt(config) for path, config in configs.items()}
    for path, text in files.items():
        config_from_text(text, where=path)
    steps = step_settings(spec, facts)
    for model, (step, settings) in zip(names.steps, steps.items(), strict=True):
        files |= step_files(spec, model, step, settings)
    if redacting:
        files |= step_files(spec, redacting.model, REDACT, redacting.settings)
    for name in whole:
        files |= version_folder(name)
    return files


def overlay(spec: PipelineSpec, facts: ModelFacts, plans: Mapping[str, str]) -> dict[str, str]:
    """The engine's configuration on hosts with these plans (file by compute capability), by its path."""
    names = Names.of(spec)
    path = f"{names.engine}/configs/{OVERLAY}.pbtxt"
    text = header(spec) + pbtxt(_engine_tensorrt(spec, facts, names, plans))
    config_from_text(text, where=path)
    return {path: text}


def _ensembles(spec: PipelineSpec, facts: ModelFacts, names: Names) -> dict[str, Message]:
    task = TASKS[spec.task]
    answers, reports = task.answers(facts), task.reports(facts)
    made, logits = named(_engine_inputs(spec, facts)), {task.engine_output: task.engine_output}
    steps = [
        step_of(names.first, named(task.inputs), {**made, **named(task.beside(facts))}),
        step_of(names.engine, made, logits),
        step_of(names.answer, {**logits, **named(task.kept), **named(task.options)}, named(_given(task, facts))),
    ]
    redacting = redacting_of(spec)
    before = redacting.before if redacting else None
    return ensembles(spec, steps, [*task.inputs, *task.options], [*answers, *reports], _mask(facts), before)


def _given(task: Task, facts: ModelFacts) -> tuple[Tensor, ...]:
    """What the answering step gives."""
    return (*task.answers(facts), *(task.reports(facts) if task.spreads else ()))


def _config(model: str, configuration: str) -> str:
    """Where a configuration of a model lies; the one that has no name is what all others replace."""
    return f"{model}/configs/{configuration}.pbtxt" if configuration else f"{model}/config.pbtxt"


def _mask(facts: ModelFacts) -> dict[str, str]:
    """What a text must have, where the model fills in masks: for who asks the pipeline whether it answers."""
    return {"mask": facts.mask_token} if isinstance(facts, TextFacts) and facts.mask_token else {}


def _first(spec: PipelineSpec, facts: ModelFacts, names: Names, configuration: str) -> Message:
    task = TASKS[spec.task]
    rows = ROWS if configuration == "cpu" else spec.engine.max_batch_size
    parameters = {**task.modality.parameters[configuration], **({"rows": str(rows)} if task.spreads else {})}
    outputs = [*_engine_inputs(spec, facts), *task.beside(facts)]
    step = python_step(spec, names.first, task.inputs, outputs, queue(spec.serving))
    return {**step, "parameters": entries(parameters)} if parameters else step


def _answer(spec: PipelineSpec, facts: ModelFacts, names: Names) -> Message:
    # It gets no more than the engine's bounded queue lets through, and needs no limit of its own.
    task = TASKS[spec.task]
    inputs = [_engine_output(spec, facts), *task.kept, *task.options]
    return {**python_step(spec, names.answer, inputs, _given(task, facts), {}), **_rows(spec)}


def _rows(spec: PipelineSpec) -> Message:
    """How many rows a step takes after items have become several."""
    return {"max_batch_size": ROWS} if TASKS[spec.task].spreads else {}


def _engine_cpu(spec: PipelineSpec, facts: ModelFacts, names: Names) -> Message:
    return {
        **interface(spec, names.engine, {"backend": "python"}, _engine_inputs(spec, facts), [_engine_output(spec, facts)]),
        **_rows(spec),
        "input": [ragged(tensor) for tensor in tensors(_engine_inputs(spec, facts))],
        "instance_group": {"count": spec.engine.instances, "kind": Word("KIND_CPU")},
        "dynamic_batching": _engine_batching(spec, at_least=_AHEAD * spec.engine.max_batch_size),
        "model_warmup": _warmups(spec, facts, [1]),
        "parameters": entries({"artefact": TARGETS["cpu"].artefact}),
    }


def _engine_onnxruntime(spec: PipelineSpec, facts: ModelFacts, names: Names) -> Message:
    kind = {"backend": "onnxruntime", "default_model_filename": TARGETS["onnxruntime"].artefact}
    return {
        **interface(spec, names.engine, kind, _engine_inputs(spec, facts), [_engine_output(spec, facts)]),
        "instance_group": {"count": spec.engine.instances, "kind": Word("KIND_AUTO")},
        "dynamic_batching": _engine_batching(spec),
        "model_warmup": _warmups(spec, facts, [1, spec.engine.max_batch_size]),
    }


def _engine_tensorrt(spec: PipelineSpec, facts: ModelFacts, names: Names, plans: Mapping[str, str] | None = None) -> Message:
    default = next(iter(plans.values())) if plans else TARGETS["tensorrt"].artefact
    kind = {"backend": "tensorrt", "default_model_filename": default}
    by_gpu = [{"key": capability, "value": file} for capability, file in (plans or {}).items()]
    profiles = [str(index) for index in range(len(_shapes(spec, facts)))]  # left out, Triton would use the first alone
    sizes = sorted({spec.engine.best_batch_size, spec.engine.max_batch_size})
    return {
        **interface(spec, names.engine, kind, _engine_inputs(spec, facts), [_engine_output(spec, facts)]),
        **({"cc_model_filenames": by_gpu} if by_gpu else {}),
        "instance_group": {"count": spec.engine.instances, "kind": Word("KIND_GPU"), "profile": profiles},
        "dynamic_batching": {"preferred_batch_size": sizes, **_engine_batching(spec)},
        **_tensorrt_optimization(spec, facts),
        "model_warmup": _warmups(spec, facts, [1, spec.engine.max_batch_size]),
    }


def _tensorrt_optimization(spec: PipelineSpec, facts: ModelFacts) -> Message:
    wishes = spec.engine.tensorrt
    cuda: Message = {name: True for name in ("busy_wait_events", "output_copy_stream") if getattr(wishes, name)}
    if wishes.cuda_graphs:
        cuda = {"graphs": True, **cuda, "graph_spec": _graph_specs(spec, facts)}
    optimization = {
        **({"cuda": cuda} if cuda else {}),
        **({"eager_batching": True} if wishes.eager_batching else {}),
    }
    return {"optimization": optimization} if optimization else {}


def _graph_specs(spec: PipelineSpec, facts: ModelFacts) -> list[Message]:
    """A CUDA graph for each shape and doubled batch, which also runs what is more than half as large."""

    def inputs(shape: Shape) -> list[Message]:
        return [{"key": name, "value": {"dim": list(dims)}} for name, dims in shape.dims.items()]

    rows, sizes = 1, []
    while rows < spec.engine.max_batch_size:
        sizes.append(rows)
        rows *= 2
    pairs = zip([0, *sizes], [*sizes, spec.engine.max_batch_size], strict=True)
    return [
        {
            "batch_size": most,
            "input": inputs(shape),
            "graph_lower_bound": {"batch_size": below + 1, "input": inputs(shape)},
        }
        for below, most in pairs
        for shape in _shapes(spec, facts)
    ]


def _shapes(spec: PipelineSpec, facts: ModelFacts) -> Sequence[Shape]:
    return TASKS[spec.task].modality.shapes(facts)


def _engine_inputs(spec: PipelineSpec, facts: ModelFacts) -> list[Tensor]:
    modality = TASKS[spec.task].modality
    return [
        Tensor(name, modality.dtypes[name], tuple(axis if isinstance(axis, int) else -1 for axis in axes))
        for name, axes in modality.axes(facts).items()
    ]


def _engine_output(spec: PipelineSpec, facts: ModelFacts) -> Tensor:
    task = TASKS[spec.task]
    return Tensor(task.engine_output, "TYPE_FP32", task.output_dims(facts))


def _engine_batching(spec: PipelineSpec, at_least: int = 0) -> Message:
    # Waiting for company pays only where a batch costs hardly more than one row, which is the engine.
    delay = spec.serving.max_queue_delay_us
    return {**({"max_queue_delay_microseconds": delay} if delay else {}), **queue(spec.serving, at_least=at_least)}


def _warmups(spec: PipelineSpec, facts: ModelFacts, batch_sizes: Sequence[int]) -> list[Message]:
    kinds = {name: Word(dtype) for name, dtype in TASKS[spec.task].modality.dtypes.items()}
    # Zeros are a token that every vocabulary has, a grey image and silence; random numbers would point outside of a vocabulary.
    return [
        {
            "name": f"{rows} x {shape.name}",
            "batch_size": rows,
            "inputs": [
                {"key": name, "value": {"data_type": kinds[name], "dims": list(dims), "zero_data": True}}
                for name, dims in shape.dims.items()
            ],
        }
        for shape in _shapes(spec, facts)
        for rows in batch_sizes
    ]
