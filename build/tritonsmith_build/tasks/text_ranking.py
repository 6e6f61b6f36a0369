"""Documents in the order in which they fit a query."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import Activation
from tritonsmith_build.tables import CorrelationGate, TextSpec
from tritonsmith_build.task import ITEM, Model, Task, several, text


class TextRanking(TextSpec):
    """A pipeline that sorts documents by how well they fit a query."""

    task: Literal["text-ranking"]
    gate: CorrelationGate = CorrelationGate()


def facts(model: Model[TextRanking]) -> dict[str, Any]:
    """One score a pair, made of the logit as ``CrossEncoder`` of sentence-transformers does."""
    spec, config = model.spec, model.config
    if config.num_labels != 1:
        fix = "give a cross-encoder with one output"
        raise SmithError(f"it gives {config.num_labels} scores a document", where=f"{spec.file}: source", fix=fix)
    said = getattr(config, "sentence_transformers", None) or {}
    function = said.get("activation_fn") or getattr(config, "sbert_ce_default_activation_function", None) or "Sigmoid"
    known: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "none"}
    if (name := function.rpartition(".")[2]) not in known:
        fix = f"only {' and '.join(known)} can be served"
        raise SmithError(f"its scores go through {function}", where=f"{spec.file}: source", fix=fix)
    return {"width": 1, "activation": known[name]}


TASK = Task(
    about="documents in the order in which they fit a query",
    spec=TextRanking,
    facts=facts,
    auto_model="AutoModelForSequenceClassification",
    reads="rank.documents",
    inputs=(text("QUERY"), several("DOCUMENTS")),
    engine_output="logits",
    figures="correlation",
    kept=(ITEM,),
    step="rank",
    answers=lambda facts: (several("INDEX", "TYPE_INT32"), several("SCORE", "TYPE_FP32")),
    step_settings=lambda facts: {"activation": facts.activation},
)
