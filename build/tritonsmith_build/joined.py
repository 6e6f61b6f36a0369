"""A task that several pipelines answer together: each is complete by itself, and an ensemble of their ensembles joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tritonsmith_build.facts import JoinedFacts
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.task import Tensor

if TYPE_CHECKING:
    from tritonsmith_build.source import ModelSource


@dataclass(frozen=True)
class OwnStep:
    """A Python step that stands between the parts."""

    suffix: str
    """Of its model, and the module of ``tritonsmith_steps`` that it runs."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    settings: Mapping[str, object] | None = None
    """What it reads from its version folder."""
    several: bool = False
    """Whether it takes more rows than the caller sent items."""


@dataclass(frozen=True)
class PartStep:
    """A part, asked as any caller asks it."""

    part: str
    inputs: Mapping[str, str]
    """By the part's tensor, the ensemble's."""
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Joined:
    """What a task needs beside its parts."""

    about: str
    """What it answers."""
    spec: type[PipelineSpec]
    """What its TOML file has."""
    parts: Callable[[Any], Mapping[str, PipelineSpec]]
    """``parts(spec)``: the specs of the parts, by what follows the pipeline's name in theirs."""
    auto_model: str
    """The transformers class that loads the model."""
    reads: Callable[[Any, ModelSource], JoinedFacts]
    """``reads(spec, source)``: what the steps between need of the model. Raises SmithError."""
    code: tuple[str, ...]
    """Files of this package that it depends on."""
    inputs: tuple[Tensor, ...]
    options: tuple[Tensor, ...]
    answers: tuple[Tensor, ...]
    steps: Callable[[Any, Any], Sequence[OwnStep | PartStep]]
    """``steps(spec, facts)``, in the order in which data flows."""
