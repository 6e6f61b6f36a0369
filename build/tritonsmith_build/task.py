"""What a task is: all that differs between pipelines. Nothing outside of ``tasks`` asks which one it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tritonsmith_steps.tokenize import Cut

from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.modalities.texts import TEXTS
from tritonsmith_build.modality import Modality
from tritonsmith_build.tables import PipelineSpec

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Figures = Literal["decisions", "masks", "cosine", "correlation", "boxes"]
Spec = TypeVar("Spec", bound=PipelineSpec)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a Triton model, its dims without the batch."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Model(Generic[Spec]):
    """A model's files as they were read."""

    spec: Spec
    folder: Path
    config: PreTrainedConfig


@dataclass(frozen=True)
class TextModel(Model[Spec]):
    """One of texts."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    pools: bool = False
    """Whether it makes one vector of a text by itself."""


@dataclass(frozen=True)
class ImageModel(Model[Spec]):
    """One of images."""

    processor: str
    """The class of its processor."""
    dims: Callable[[Any], tuple[int, ...]]
    """``dims(facts)``: those of what the task picks of its output, without the batch; -1 where they depend on the image."""


@dataclass(frozen=True)
class SoundModel(Model[Spec]):
    """One of recordings."""

    load: Callable[[Any], Any]
    """What one of transformers' ``Auto`` classes makes of the source. Raises SmithError where it cannot."""


@dataclass(frozen=True)
class Task:
    """What a task needs from the model, and which step turns the engine's output into answers."""

    about: str
    """What it answers."""
    spec: type[PipelineSpec]
    """What its TOML file has."""
    facts: Callable[[Any], dict[str, Any]]
    """What its answers need of the ``Model``, as keys of its modality's facts."""
    auto_model: str
    """The transformers class that loads the model."""
    inputs: tuple[Tensor, ...]
    """What the first step takes."""
    engine_output: str
    """What leaves the engine: a row of ``SELECTS``."""
    figures: Figures
    """What a build measures of it: a row of ``FIGURES``."""
    step: str
    """Suffix of the answering model, and the module of ``tritonsmith_steps`` that it runs."""
    answers: Callable[[Any], tuple[Tensor, ...]]
    """From the facts: the ensemble's outputs."""
    step_settings: Callable[[Any], dict[str, object]]
    """What the answering step reads from its version folder."""
    modality: Modality = TEXTS
    """What it takes in."""
    options: tuple[Tensor, ...] = ()
    """What a caller may tell the answering step; each is optional."""
    output_dims: Callable[[Any], tuple[int, ...]] = lambda facts: (facts.width,)
    """From the facts: the engine's output without the batch."""
    unneeded: Callable[[Any], tuple[str, ...]] = lambda facts: ()
    """From the facts: how the names of weights begin that the model may lack, because the output does not depend on them."""
    kept: tuple[Tensor, ...] = ()
    """What the answering step takes beside the engine's output, of what the first step takes, gives or can give."""
    answers_with_tokenizer: bool = False
    """Whether the answering step turns tokens into text."""
    reads: str = "readers.texts"
    """How the first step reads a request: ``module.function`` of ``tritonsmith_steps``."""
    cut: Cut = "longest_first"
    """Which text of a pair gives way where both together are too long."""
    longest: int | None = None
    """How many tokens a row has at most, where the model could take more."""

    @property
    def file(self) -> str:
        """Its own module, below this package."""
        return f"tasks/{self.facts.__module__.rpartition('.')[2]}.py"

    def beside(self, facts: ModelFacts) -> tuple[Tensor, ...]:
        """What the first step gives beside the engine's inputs: to the answering step, or to the caller."""
        known = {*self.modality.axes(facts), *(tensor.name for tensor in self.inputs)}
        given = tuple(tensor for tensor in self.kept if tensor.name not in known)
        return given if self.spreads else (*given, *self.reports(facts))

    def reports(self, facts: ModelFacts) -> tuple[Tensor, ...]:
        """What says whether an item was cut: from the first step, or where items become several rows from the last."""
        return (TRUNCATED,) if self.modality.cuts(facts) else ()

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
TRUNCATED = Tensor("TRUNCATED", "TYPE_BOOL", (1,))
OFFSETS, SPECIAL, SEQUENCE, WORD = (
    Tensor("OFFSETS", "TYPE_INT32", (-1, 2)),
    *(_each_token(name) for name in ("SPECIAL", "SEQUENCE", "WORD")),
)


def each_token(facts: ModelFacts) -> tuple[int, ...]:
    """The output of an engine that answers every token of a text."""
    return -1, facts.width


IMAGE, SIZE = text("IMAGE"), Tensor("SIZE", "TYPE_INT32", (2,))
AUDIO = text("AUDIO")
