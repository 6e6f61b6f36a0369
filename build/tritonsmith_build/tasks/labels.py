"""The names of a model's classes, and what its answers are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import Activation, ModelFacts
from tritonsmith_build.tables import AgreementGate, Share
from tritonsmith_build.task import Model, Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class ClassifyGate(AgreementGate):
    """What a build of a classifier must prove against FP32 on the gate's data."""

    max_accuracy_drop: Share = 0.01


def classes(model: Model[Any]) -> dict[str, Any]:
    """The classes in the order of the logits. Raises SmithError where the spec names more or fewer than the head has."""
    spec, config = model.spec, model.config
    names: dict[int, str] = dict(config.id2label)  # type: ignore[arg-type]
    own = tuple(names[index] for index in sorted(names))
    labels = spec.output.labels or own
    if not spec.source.adapter and len(labels) != len(own):
        fix = f"name all {len(own)}, or leave output.labels out to use the model's: {', '.join(own)}"
        raise SmithError(f"{len(labels)} labels for a head of {len(own)}", where=f"{spec.file}: output.labels", fix=fix)
    return {"labels": labels, "width": len(labels)}


def activation(config: PreTrainedConfig) -> Activation:
    """What ``transformers.pipeline`` applies to the logits of a classifier of texts or images."""
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"


def class_answers(facts: ModelFacts) -> tuple[Tensor, ...]:
    """Every class with its score, the likeliest first."""
    return Tensor("LABEL", "TYPE_STRING", (facts.width,)), Tensor("SCORE", "TYPE_FP32", (facts.width,))


def class_settings(facts: ModelFacts) -> dict[str, object]:
    """What the step ``classify`` reads from its version folder."""
    return {"labels": list(facts.labels), "activation": facts.activation}
