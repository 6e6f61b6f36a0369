"""Which of the caller's labels fit a text, by a model of natural language inference."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.tables import AgreementGate, TextSpec
from tritonsmith_build.task import ITEM, TEXT, Model, Task, option, several


class ZeroShotClassification(TextSpec):
    """A pipeline that says which of the caller's labels fit a text, by a model that knows what follows from what."""

    task: Literal["zero-shot-classification"]
    gate: AgreementGate = AgreementGate()


def facts(model: Model[ZeroShotClassification]) -> dict[str, Any]:
    """Which classes say that one text follows from another, as ``transformers.pipeline("zero-shot-classification")`` looks."""
    names: dict[int, str] = dict(model.config.id2label)  # type: ignore[arg-type]
    found = [index for index, name in names.items() if name.lower().startswith("entail")]
    if not found or len(names) < 2:
        fix = "give a model trained on natural language inference, with a class named entailment"
        raise SmithError(
            f"none of its classes ({', '.join(names.values())}) is entailment", where=f"{model.spec.file}: source", fix=fix
        )
    return {"width": len(names), "entailment": found[0], "contradiction": len(names) - 1 if found[0] == 0 else 0}


TASK = Task(
    about="which of the caller's labels fit a text, by a model of natural language inference",
    spec=ZeroShotClassification,
    facts=facts,
    auto_model="AutoModelForSequenceClassification",
    reads="zeroshot.hypotheses",
    cut="only_first",
    inputs=(TEXT, several("CANDIDATE_LABELS"), option("HYPOTHESIS_TEMPLATE"), option("MULTI_LABEL", "TYPE_BOOL")),
    engine_output="logits",
    figures="decisions",
    kept=(ITEM,),
    step="zeroshot",
    answers=lambda facts: (several("LABEL"), several("SCORE", "TYPE_FP32")),
    step_settings=lambda facts: {"entailment": facts.entailment, "contradiction": facts.contradiction},
)
