"""What pipelines take in, texts, images or recordings: how the first step makes engine input of it, and a build makes some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.facts import ModelFacts

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from tritonsmith_build.tables import PipelineSpec
    from tritonsmith_build.task import Task

Dims = tuple[int, ...]
Purpose = Literal["gate", "calibration", "drift"]


@dataclass(frozen=True)
class Axis:
    """A dimension of an engine's input that differs from request to request."""

    name: str
    least: int
    most: int
    example: int
    """What an export is traced with."""
    multiple: int = 1
    """Of what every size is a multiple."""


@dataclass(frozen=True)
class Shape:
    """What an engine is prepared for, without the batch: one size of each input, or a range of sizes around it."""

    name: str
    """As ``128 tokens`` or ``224 x 224 pixels``."""
    dims: Mapping[str, Dims]
    least: Mapping[str, Dims] = field(default_factory=dict)
    """The smallest that the engine must take where this shape is tuned for; nothing where it takes this one alone."""
    most: Mapping[str, Dims] = field(default_factory=dict)
    """The largest."""


class Samples(Protocol):
    """Inputs on which a build proves, calibrates and times an engine, made exactly as the first step makes them."""

    @property
    def labels(self) -> Sequence[str]:
        """The class of each as its file says it; nothing where it says none."""

    @property
    def key(self) -> Any:
        """What they depend on, for a digest."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> Samples:
        """So many of them at most."""

    def batches(self, rows: int, *, as_on_gpu: bool = False) -> Iterator[Arrays]:
        """All of them in their order, ``rows`` a batch at most; ``as_on_gpu`` in the shapes that a plan has."""

    def at(self, rows: int, shape: Shape, *, blank: bool = False) -> Arrays:
        """A batch of some, of exactly this shape; ``blank`` makes its last row padding alone where there is padding."""


@dataclass(frozen=True)
class Modality:
    """A kind of input."""

    noun: str
    """What several are called."""
    step: str
    """The first step: a module of ``tritonsmith_steps``, and the suffix of its Triton model."""
    facts: type[ModelFacts]
    """What a build reads from the model and keeps beside the spec."""
    reads: str
    """``module:function`` below ``stages``: ``function(spec, source, task, folder)`` gives the ``Model`` that the
    task's own facts are read from and the facts of this modality, and puts ``files`` into ``folder``."""
    reads_graph: str | None
    """The same where the model is a graph that somebody else exported; None where that is not served."""
    code: tuple[str, ...]
    """Files of this package that the build's own inputs depend on."""
    steps: tuple[str, ...]
    """Files of ``tritonsmith_steps`` that the first step consists of."""
    files: tuple[str, ...]
    """Beside its settings, what the first step needs in its version folder."""
    dtypes: Mapping[str, str]
    """Of each input that an engine may have."""
    axes: Callable[[Any], Mapping[str, tuple[Axis | int, ...]]]
    """From the facts: each of the engine's inputs without its batch."""
    shapes: Callable[[Any], Sequence[Shape]]
    """From the facts: what an engine is prepared for, the smallest first."""
    padding: Callable[[Any], Mapping[str, int]]
    """From the facts: what fills a short row of each engine input."""
    settings: Callable[[Any, Any, Task], Any]
    """From spec, facts and task: what the first step reads from its version folder."""
    parameters: Mapping[str, Mapping[str, str]]
    """What the first step's configurations say, by the configuration's name (the default one has none)."""
    cuts: Callable[[Any], bool]
    """From the facts: whether the first step may cut an item to what the model takes at most, and says so."""
    timed: int
    """How many of the gate's a runtime is timed with."""
    samples: Callable[[PipelineSpec, Any, Task, Path, Purpose], Samples]
    """``samples(spec, facts, task, folder, purpose)``: the spec's own, or those that this package brings. ``folder`` has
    ``files``."""
    graph: Callable[[torch.nn.Module, Callable[..., Any], Any], torch.nn.Module]
    """``graph(model, select, facts)``: the model behind the engine's inputs, ``select`` picks what leaves it."""
