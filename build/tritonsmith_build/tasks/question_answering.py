"""The answer to a question, found in a context of any length."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.tables import CorrelationGate, Count, TextInput, TextSpec
from tritonsmith_build.task import ITEM, OFFSETS, SEQUENCE, WORD, Task, TextModel, each_token, option, text

_WINDOW, _SHARED = 384, 128
"""Of ``transformers.pipeline("question-answering")``: tokens of a window, and those that two of them share at most."""


class ContextInput(TextInput):
    """As ``TextInput``, and how many tokens two windows of a long context share."""

    stride: Count | None = None


class QuestionAnswering(TextSpec):
    """A pipeline that finds the answer to a question in a context of any length."""

    task: Literal["question-answering"]
    input: ContextInput = ContextInput()
    gate: CorrelationGate = CorrelationGate()


def facts(model: TextModel[QuestionAnswering]) -> dict[str, Any]:
    """How much of a context two windows share."""
    most = model.max_length // 2
    stride = model.spec.input.stride or min(most, _SHARED)
    if stride > most:
        what = f"{stride} of {model.max_length} tokens"
        raise SmithError(what, where=f"{model.spec.file}: input.stride", fix=f"set stride <= {most}")
    return {"width": 2, "stride": stride}


TASK = Task(
    about="the answer to a question, found in a context of any length",
    spec=QuestionAnswering,
    facts=facts,
    auto_model="AutoModelForQuestionAnswering",
    reads="spans.contexts",
    cut="only_second",
    longest=_WINDOW,
    inputs=(
        text("QUESTION"),
        text("CONTEXT"),
        option("TOP_K", "TYPE_INT32"),
        option("MAX_ANSWER_LEN", "TYPE_INT32"),
        option("HANDLE_IMPOSSIBLE_ANSWER", "TYPE_BOOL"),
    ),
    engine_output="span_logits",
    figures="correlation",
    output_dims=each_token,
    kept=(ITEM, OFFSETS, SEQUENCE, WORD),
    step="spans",
    answers=lambda facts: (text("ANSWERS"),),
    step_settings=lambda facts: {},
)
