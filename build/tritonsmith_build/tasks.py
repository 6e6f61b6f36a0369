"""The tasks a pipeline can have: a row says all that differs between them. Nothing else asks which task it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tritonsmith_build.facts import ModelFacts


@dataclass(frozen=True)
class Tensor:
    """One tensor of a Triton model, its dims without the batch."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Task:
    """What a task needs from the model, and which step turns the engine's output into answers."""

    auto_model: str
    """The transformers class that loads the model."""
    inputs: tuple[Tensor, ...]
    """What the first step takes."""
    engine_output: str
    step: str
    """Suffix of the answering model, and its row in ``tritonsmith_steps.serve.STEPS``."""
    answers: Callable[[ModelFacts], tuple[Tensor, ...]]
    """The ensemble's outputs."""
    step_settings: Callable[[ModelFacts], dict[str, object]]
    """What the answering step reads from its version folder."""
    options: tuple[Tensor, ...] = ()
    """What a caller may tell the answering step; each is optional."""
    every_token: bool = False
    """Whether the engine answers every token rather than the whole text."""
    kept: tuple[Tensor, ...] = ()
    """What the answering step takes beside the engine's output, of what the first step takes, gives or can give."""
    answers_with_tokenizer: bool = False
    """Whether the answering step turns tokens into text."""


TEXT = Tensor("TEXT", "TYPE_STRING", (1,))
TEXT_PAIR = Tensor("TEXT_PAIR", "TYPE_STRING", (1,), optional=True)
PLACES = (Tensor("OFFSETS", "TYPE_INT32", (-1, 2)), Tensor("SPECIAL", "TYPE_INT32", (-1,)))

TASKS: dict[str, Task] = {
    "text-classification": Task(
        auto_model="AutoModelForSequenceClassification",
        inputs=(TEXT, TEXT_PAIR),
        engine_output="logits",
        step="classify",
        answers=lambda facts: (
            Tensor("LABEL", "TYPE_STRING", (facts.width,)),
            Tensor("SCORE", "TYPE_FP32", (facts.width,)),
        ),
        step_settings=lambda facts: {"labels": list(facts.labels), "activation": facts.activation},
        options=(Tensor("FUNCTION_TO_APPLY", "TYPE_STRING", (1,), optional=True),),
    ),
    "token-classification": Task(
        auto_model="AutoModelForTokenClassification",
        inputs=(TEXT,),
        engine_output="token_logits",
        every_token=True,
        kept=(TEXT, Tensor("input_ids", "TYPE_INT32", (-1,)), *PLACES),
        step="entities",
        answers=lambda facts: (Tensor("ENTITIES", "TYPE_STRING", (1,)),),
        step_settings=lambda facts: {
            "labels": list(facts.labels),
            "ignored": list(facts.ignored),
            "unknown_id": facts.unknown_id,
            "marks_continuations": facts.marks_continuations,
        },
        options=(Tensor("AGGREGATION_STRATEGY", "TYPE_STRING", (1,), optional=True),),
        answers_with_tokenizer=True,
    ),
    "feature-extraction": Task(
        auto_model="AutoModel",
        inputs=(TEXT,),
        engine_output="pooled",
        step="embed",
        answers=lambda facts: (Tensor("EMBEDDING", "TYPE_FP32", (facts.width,)),),
        step_settings=lambda facts: {"normalize": facts.normalize},
    ),
}
