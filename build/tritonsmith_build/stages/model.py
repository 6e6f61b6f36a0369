"""Load a model with every weight it needs, its adapter merged into it."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from peft import PeftModel
from safetensors import safe_open

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.quiet import quiet
from tritonsmith_build.source import ModelSource
from tritonsmith_build.stages.graphs import SELECTS, EngineGraph
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS


def graph_from_source(spec: PipelineSpec, source: ModelSource, facts: ModelFacts) -> EngineGraph:
    """What the engine of ``spec`` computes, ready to export. Raises SmithError as ``model_from_source``."""
    task = TASKS[spec.task]
    select = SELECTS[task.engine_output](facts)
    graph: EngineGraph = task.modality.graph(model_from_source(spec, source, facts), select, facts).eval()  # type: ignore[assignment]
    return graph


def model_from_source(spec: PipelineSpec, source: ModelSource, facts: ModelFacts) -> torch.nn.Module:
    """The FP32 model in evaluation mode.

    Eager attention, because its graph is plain MatMul and Softmax, which every target optimizes best. Raises SmithError
    when the weights do not fill the model that the task needs, where transformers would go on with random ones.
    """
    task = TASKS[spec.task]
    auto = task.auto_model
    labels: dict[str, Any] = {}
    if facts.labels:
        labels = {"id2label": dict(enumerate(facts.labels)), "label2id": {name: i for i, name in enumerate(facts.labels)}}
    try:
        with quiet():
            model, report = getattr(transformers, auto).from_pretrained(
                source.folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **labels
            )
            missing = set(report["missing_keys"]) - (_adapter_keys(source) if source.adapter else set())
            if source.adapter:
                model = PeftModel.from_pretrained(model, source.adapter).merge_and_unload()
    except Exception as error:  # whatever a damaged or ill-fitting folder makes torch, transformers or peft raise
        reason = " ".join(str(error).split())[:300]
        fix = "check that model and adapter belong together and to the task"
        raise SmithError(f"cannot be loaded by {auto}: {reason}", where=source.folder, fix=fix) from None
    if lacking := sorted(key for key in missing if not key.startswith(task.unneeded(facts))):
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        fix = f"the model's head does not fit {spec.task}: fine-tune it (tritonsmith finetune) or use another task"
        raise SmithError(f"the weights lack {shown}", where=source.folder, fix=fix)
    loaded: torch.nn.Module = model.eval()
    return loaded


def _adapter_keys(source: ModelSource) -> set[str]:
    """The whole layers (a head, say) that an adapter carries, by their names in the model."""
    assert source.adapter is not None
    with safe_open(source.adapter / "adapter_model.safetensors", framework="numpy") as weights:
        return {key.removeprefix("base_model.model.") for key in weights.keys()}  # noqa: SIM118 (it is no dict)
