"""What the build read from a model and rendering needs: committed beside the spec as ``<name>.lock.toml``."""

from __future__ import annotations

import tomllib
from typing import Literal

import tomli_w
from pydantic import Field, PositiveInt, ValidationError

from tritonsmith_build.errors import SmithError
from tritonsmith_build.tables import PipelineSpec, Pooling, Table

Activation = Literal["softmax", "sigmoid", "none"]


class ModelFacts(Table):
    """A model as far as its configuration and its steps must know it, resolved with the spec's own wishes."""

    model_type: str
    weights: dict[str, str]
    adapter: dict[str, str] = Field(default_factory=dict)
    positions: PositiveInt
    max_length: PositiveInt
    buckets: tuple[PositiveInt, ...]
    inputs: tuple[str, ...]
    pad_id: int
    pad_type_id: int = 0
    truncation_side: Literal["left", "right"] = "right"
    width: PositiveInt
    labels: tuple[str, ...] = ()
    activation: Activation = "none"
    ignored: tuple[str, ...] = ()
    unknown_id: int | None = None
    marks_continuations: bool = False
    entailment: int = 0
    contradiction: int = 0
    stride: int = 0
    mask_id: int = 0
    mask_token: str = ""
    masks: PositiveInt = 1
    pooling: Pooling = "mean"
    normalize: bool = False
    truncate_dim: PositiveInt | None = None
    normalize_again: bool = False
    prompts: dict[str, str] = Field(default_factory=dict)
    prompt: str | None = None


def default_buckets(max_length: int) -> tuple[int, ...]:
    """Powers of two from 16 up to ``max_length``, which is always the last.

    >>> default_buckets(100)
    (16, 32, 64, 100)
    """
    powers = (2**exponent for exponent in range(4, max_length.bit_length()))
    return (*(power for power in powers if power < max_length), max_length)


def lock_text(spec: PipelineSpec, facts: ModelFacts) -> str:
    """The lock file's text."""
    header = f"# What `tritonsmith build {spec.name}` read from the model. Commit it; do not edit it.\n"
    return header + tomli_w.dumps(facts.model_dump(exclude_defaults=True, mode="json"))


def facts_from_lock(spec: PipelineSpec) -> ModelFacts:
    """The facts as committed. Raises SmithError where there are none or they do not read."""
    fix = f"run: tritonsmith build {spec.file}"
    try:
        return ModelFacts.model_validate(tomllib.loads(spec.lock_file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SmithError("no such file: the model has not been read yet", where=spec.lock_file, fix=fix) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise SmithError(f"does not read as a lock file ({first})", where=spec.lock_file, fix=fix) from None
