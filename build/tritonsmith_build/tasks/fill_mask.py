"""The tokens that may stand where a text has a mask."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.tables import AgreementGate, Count, Table, TextSpec
from tritonsmith_build.task import TEXT, TOKENS, Task, Tensor, TextModel, option, text


class FillOutput(Table):
    """How many masks a text may have."""

    max_masks: Count = 4


class FillMask(TextSpec):
    """A pipeline that says which tokens may stand where a text has a mask."""

    task: Literal["fill-mask"]
    output: FillOutput = FillOutput()
    gate: AgreementGate = AgreementGate()


def facts(model: TextModel[FillMask]) -> dict[str, Any]:
    """The mask, and how wide the answers for all masks of a text are."""
    tokenizer, masks = model.tokenizer, model.spec.output.max_masks
    if tokenizer.mask_token_id is None:
        fix = "give a model that was trained to fill in masks"
        raise SmithError("the tokenizer has no mask", where=f"{model.spec.file}: source", fix=fix)
    width = masks * model.config.vocab_size
    return {"width": width, "mask_id": tokenizer.mask_token_id, "mask_token": tokenizer.mask_token, "masks": masks}


TASK = Task(
    about="the tokens that may stand where a text has a mask",
    spec=FillMask,
    facts=facts,
    auto_model="AutoModelForMaskedLM",
    inputs=(TEXT,),
    engine_output="mask_logits",
    figures="masks",
    kept=(TOKENS,),
    step="fill",
    answers=lambda facts: (text("TOKENS"),),
    step_settings=lambda facts: {
        "mask_id": facts.mask_id,
        "mask_token": facts.mask_token,
        "masks": facts.masks,
        "pad_id": facts.pad_id,
    },
    options=(option("TOP_K", "TYPE_INT32"), Tensor("TARGETS", "TYPE_STRING", (-1,), optional=True)),
    answers_with_tokenizer=True,
)
