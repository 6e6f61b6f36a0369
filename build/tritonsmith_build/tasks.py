"""The tasks a pipeline can have: a row says all that differs between them. Nothing else asks which task it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tritonsmith_steps.tokenize import Cut

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

    about: str
    """What it answers."""
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
    reads: str = "texts"
    """How the first step reads a request: a row of ``tritonsmith_steps.readers.READERS``."""
    cut: Cut = "longest_first"
    """Which text of a pair gives way where both together are too long."""

    @property
    def spreads(self) -> bool:
        """Whether one item becomes several rows of the engine."""
        return ITEM in self.kept


def text(name: str) -> Tensor:
    """A text a row."""
    return Tensor(name, "TYPE_STRING", (1,))


def option(name: str, dtype: str = "TYPE_STRING") -> Tensor:
    """What a caller may leave out."""
    return Tensor(name, dtype, (1,), optional=True)


def several(name: str, dtype: str = "TYPE_STRING") -> Tensor:
    """As many values a row as the caller likes."""
    return Tensor(name, dtype, (-1,))


def _each_token(name: str) -> Tensor:
    return Tensor(name, "TYPE_INT32", (-1,))


TEXT, TOKENS, ITEM = text("TEXT"), _each_token("input_ids"), text("ITEM")
OFFSETS, SPECIAL, SEQUENCE, WORD = (
    Tensor("OFFSETS", "TYPE_INT32", (-1, 2)),
    *(_each_token(name) for name in ("SPECIAL", "SEQUENCE", "WORD")),
)

TASKS: dict[str, Task] = {
    "text-classification": Task(
        about="the class of a text, or of a pair of texts",
        auto_model="AutoModelForSequenceClassification",
        inputs=(TEXT, option("TEXT_PAIR")),
        engine_output="logits",
        step="classify",
        answers=lambda facts: (
            Tensor("LABEL", "TYPE_STRING", (facts.width,)),
            Tensor("SCORE", "TYPE_FP32", (facts.width,)),
        ),
        step_settings=lambda facts: {"labels": list(facts.labels), "activation": facts.activation},
        options=(option("FUNCTION_TO_APPLY"),),
    ),
    "zero-shot-classification": Task(
        about="which of the caller's labels fit a text, by a model of natural language inference",
        auto_model="AutoModelForSequenceClassification",
        reads="hypotheses",
        cut="only_first",
        inputs=(TEXT, several("CANDIDATE_LABELS"), option("HYPOTHESIS_TEMPLATE"), option("MULTI_LABEL", "TYPE_BOOL")),
        engine_output="logits",
        kept=(ITEM,),
        step="zeroshot",
        answers=lambda facts: (several("LABEL"), several("SCORE", "TYPE_FP32")),
        step_settings=lambda facts: {"entailment": facts.entailment, "contradiction": facts.contradiction},
    ),
    "token-classification": Task(
        about="entities and their places in a text",
        auto_model="AutoModelForTokenClassification",
        inputs=(TEXT,),
        engine_output="token_logits",
        every_token=True,
        kept=(TEXT, TOKENS, OFFSETS, SPECIAL),
        step="entities",
        answers=lambda facts: (text("ENTITIES"),),
        step_settings=lambda facts: {
            "labels": list(facts.labels),
            "ignored": list(facts.ignored),
            "unknown_id": facts.unknown_id,
            "marks_continuations": facts.marks_continuations,
        },
        options=(option("AGGREGATION_STRATEGY"),),
        answers_with_tokenizer=True,
    ),
    "question-answering": Task(
        about="the answer to a question, found in a context of any length",
        auto_model="AutoModelForQuestionAnswering",
        reads="contexts",
        cut="only_second",
        inputs=(
            text("QUESTION"),
            text("CONTEXT"),
            option("TOP_K", "TYPE_INT32"),
            option("MAX_ANSWER_LEN", "TYPE_INT32"),
            option("HANDLE_IMPOSSIBLE_ANSWER", "TYPE_BOOL"),
        ),
        engine_output="span_logits",
        every_token=True,
        kept=(ITEM, OFFSETS, SEQUENCE, WORD),
        step="spans",
        answers=lambda facts: (text("ANSWERS"),),
        step_settings=lambda facts: {},
    ),
    "fill-mask": Task(
        about="the tokens that may stand where a text has a mask",
        auto_model="AutoModelForMaskedLM",
        inputs=(TEXT,),
        engine_output="mask_logits",
        kept=(TOKENS,),
        step="fill",
        answers=lambda facts: (text("TOKENS"),),
        step_settings=lambda facts: {
            "mask_id": facts.mask_id,
            "mask_token": facts.mask_token,
            "masks": facts.masks,
            "pad_id": facts.pad_id,
        },
        options=(option("TOP_K", "TYPE_INT32"),),
        answers_with_tokenizer=True,
    ),
    "feature-extraction": Task(
        about="one vector a text",
        auto_model="AutoModel",
        reads="prompted",
        inputs=(TEXT, option("PROMPT_NAME")),
        engine_output="pooled",
        step="embed",
        answers=lambda facts: (Tensor("EMBEDDING", "TYPE_FP32", (facts.truncate_dim or facts.width,)),),
        step_settings=lambda facts: {
            "normalize": facts.normalize,
            **({"truncate_dim": facts.truncate_dim} if facts.truncate_dim else {}),
            **({"normalize_again": True} if facts.normalize_again else {}),
        },
    ),
    "text-ranking": Task(
        about="documents in the order in which they fit a query",
        auto_model="AutoModelForSequenceClassification",
        reads="documents",
        inputs=(text("QUERY"), several("DOCUMENTS")),
        engine_output="scores",
        kept=(ITEM,),
        step="rank",
        answers=lambda facts: (several("INDEX", "TYPE_INT32"), several("SCORE", "TYPE_FP32")),
        step_settings=lambda facts: {"activation": facts.activation},
    ),
}
