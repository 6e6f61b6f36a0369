"""What the build read from a model and rendering needs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from tritonsmith_build.tables import Pooling, Table

Activation = Literal["softmax", "sigmoid", "none"]


class ModelFacts(Table):
    """A model as far as its configuration and its steps must know it, resolved with the spec's own wishes."""

    model_type: str
    weights: dict[str, str]
    adapter: dict[str, str] = Field(default_factory=dict)
    width: PositiveInt
    labels: tuple[str, ...] = ()
    activation: Activation = "none"
    normalize: bool = False
    truncate_dim: PositiveInt | None = None
    normalize_again: bool = False


class TextFacts(ModelFacts):
    """Of a model of texts."""

    positions: PositiveInt
    max_length: PositiveInt
    buckets: tuple[PositiveInt, ...]
    inputs: tuple[str, ...]
    pad_id: int
    pad_type_id: int = 0
    truncation_side: Literal["left", "right"] = "right"
    ignored: tuple[str, ...] = ()
    unknown_id: int | None = None
    marks_continuations: bool = False
    entailment: int = 0
    contradiction: int = 0
    stride: int = 0
    mask_id: int = 0
    mask_token: str = ""
    masks: PositiveInt = 1
    pooling: Pooling | Literal["model"] = "mean"
    """``model``: what the model itself makes of all tokens."""
    fill: int = 0
    """Tokens that the model was trained to have in every row, whatever the text; its graph fills them up."""
    prompts: dict[str, str] = Field(default_factory=dict)
    prompt: str | None = None


class ImageFacts(ModelFacts):
    """Of a model of images: what its processor does, as ``PixelSettings`` of the first step has it; which output is wanted."""

    resample: int
    size: tuple[PositiveInt, PositiveInt] | None = None
    shortest: PositiveInt | None = None
    longest: PositiveInt | None = None
    multiple: PositiveInt = 1
    crop: tuple[PositiveInt, PositiveInt] | None = None
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pool: bool = False
    dims: tuple[int, ...]
    """Of the engine's output, without the batch; -1 where they depend on the image."""

    @property
    def one_size(self) -> tuple[int, int] | None:
        """Height and width of the engine's input, where every image gets the same."""
        return self.crop or self.size


class SoundFacts(ModelFacts):
    """Of a model of recordings: what its feature extractor does, as ``WaveSettings`` of the first step has it."""

    rate: PositiveInt
    least: PositiveInt
    max_seconds: PositiveInt
    buckets: tuple[PositiveInt, ...]
    """Of waves, in seconds; nothing where the model takes none."""
    zero_mean: bool = False
    bands: PositiveInt | None = None
    frames: int = 0
    mean: float = 0.0
    std: float = 1.0
    tokens: tuple[str, ...] = ()
    blank: str = ""
    frame: PositiveInt = 1
    """Samples of what the model hears as one."""
    delimiter: str | None = None
    space: str = " "
    lower_case: bool = False


class JoinedFacts(Table):
    """Of a model whose two sides are pipelines: what makes scores of how near their vectors are."""

    model_type: str
    weights: dict[str, str]
    width: PositiveInt
    scale: float
    bias: float = 0.0
    activation: Literal["softmax", "sigmoid"]


def default_buckets(max_length: int, least: int = 16) -> tuple[int, ...]:
    """Powers of two from ``least``, which is one, up to ``max_length``, which is always the last.

    >>> default_buckets(100)
    (16, 32, 64, 100)
    """
    powers = (2**exponent for exponent in range(least.bit_length() - 1, max_length.bit_length()))
    return (*(power for power in powers if power < max_length), max_length)
