"""The tables that a pipeline's TOML file has: frozen, every key known. What a task adds stands with the task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from tritonsmith_steps.personal import PersonalKind, Region

Precision = Literal["fp32", "fp16", "bf16", "int8"]
Pooling = Literal["mean", "cls", "max", "last"]
Count = Annotated[int, Field(strict=True, gt=0)]
Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Table(BaseModel):
    """A TOML table: unknown keys are refused, values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Table):
    """Where the model comes from: exactly one of ``package``, ``hub``, ``path`` and ``script`` gives its folder.

    ``onnx`` names a graph in that folder, which then is the model; without it weights are loaded and exported.
    """

    package: Text | None = None
    folder: str = "."
    hub: Text | None = None
    revision: Text | None = None
    path: Path | None = None
    script: Path | None = None
    onnx: Text | None = None
    output: Text | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="of the weights file; checked when given")
    adapter: Path | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        places = ("package", "hub", "path", "script")
        given = [key for key in places if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(places[:-1])} and {places[-1]} is needed, not {given or 'none'}")
        if self.hub and not self.revision:
            raise ValueError("a hub model needs its revision, so that a rebuild gives the same model")
        return self

    @model_validator(mode="after")
    def _what_goes_together(self) -> Self:
        if self.onnx and not (self.onnx.endswith(".onnx") and _stays_inside(self.onnx)):
            raise ValueError(f"onnx is {self.onnx!r}; give the path of an .onnx file inside the model's folder")
        if self.onnx and self.adapter:
            raise ValueError("an adapter cannot be merged into an ONNX graph; leave adapter out, or give weights")
        if self.output and not self.onnx:
            raise ValueError("output names an output of an ONNX graph; say onnx too")
        if self.script and self.sha256:
            raise ValueError("sha256 pins a file that is there, a script makes one; let the script check what it reads")
        return self


def _stays_inside(path: str) -> bool:
    """Whether a path stays in the folder that it is taken from."""
    return not Path(path).is_absolute() and ".." not in Path(path).parts


class Input(Table):
    """What a caller may send."""

    max_bytes: Count = 65536


class Bucketed(Input):
    """What is filled up to one of a few lengths."""

    buckets: tuple[Count, ...] | None = None
    longest: ClassVar[str]
    """The key that says the greatest length."""

    @model_validator(mode="after")
    def _buckets_rise_to_the_longest(self) -> Self:
        if self.buckets is None:
            return self
        if list(self.buckets) != sorted(set(self.buckets)) or not self.buckets:
            raise ValueError("buckets must rise, for example [16, 32, 64, 128]")
        most = getattr(self, self.longest)
        if most is not None and self.buckets[-1] != most:
            raise ValueError(f"the last of buckets is {self.buckets[-1]}; it must be {self.longest}, {most}")
        return self


class TextInput(Bucketed):
    """Texts; what is left out is read from the model."""

    max_length: Count | None = None
    longest: ClassVar[str] = "max_length"


class TensorRT(Table):
    """How TensorRT builds an engine, and which of its backend's optimizations Triton uses. What fits depends on the host."""

    best_batch_size: Count | None = None
    optimization_level: int = Field(default=3, strict=True, ge=0, le=5)
    workspace_mb: Count | None = None
    version_compatible: Flag = False
    hardware_compatible: Literal["none", "ampere_plus", "same_compute_capability"] = "none"
    cuda_graphs: Flag = False
    busy_wait_events: Flag = False
    output_copy_stream: Flag = False
    eager_batching: Flag = False


class Engine(Table):
    """How the model runs."""

    precision: Precision = "fp32"
    max_batch_size: Count = 32
    instances: Count = 2
    tensorrt: TensorRT = TensorRT()

    @model_validator(mode="after")
    def _best_fits(self) -> Self:
        best = self.tensorrt.best_batch_size
        if best is not None and best > self.max_batch_size:
            raise ValueError(f"tensorrt.best_batch_size is {best}; it must not exceed max_batch_size, {self.max_batch_size}")
        return self

    @property
    def best_batch_size(self) -> int:
        """The rows that TensorRT tunes for: as the spec says, else a quarter of the largest batch."""
        return self.tensorrt.best_batch_size or max(1, self.max_batch_size // 4)


class Serving(Table):
    """How requests wait: the queue's length and patience, and whether repeated inputs are answered from the cache."""

    max_queue_delay_us: int = Field(default=0, strict=True, ge=0)
    max_queue_size: Count = 256
    timeout_ms: Count = 10_000
    cache: Flag = True


class Calibration(Table):
    """Inputs from which the range of activations is measured; disjoint from the gate's."""

    data: Path | None = None


class Gate(Table):
    """What a build must prove against FP32 on the gate's inputs."""

    data: Path | None = None


class Drift(Table):
    """What a served pipeline's inputs and answers are compared with while it serves: these inputs, or the gate's."""

    watch: Flag = True
    data: Path | None = None
    window: Count = 500


class Redact(Table):
    """What is taken out of texts before the model, the cache or a log sees them."""

    kinds: tuple[PersonalKind, ...] = get_args(PersonalKind)
    regions: tuple[Region, ...] = ("US",)
    max_numbers: Count = 1000


class AgreementGate(Gate):
    """The share of decisions (a token's class, what a mask stands for) that are equal."""

    min_agreement: Share = 0.98


class CorrelationGate(Gate):
    """Where answers are picked by comparing scores: their correlation."""

    min_correlation: Share = 0.98


class LabelsOutput(Table):
    """The names of the classes, where the model's own are not wanted."""

    labels: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError("two labels are the same; give each class a name of its own")
        return self


class PipelineSpec(Table):
    """One pipeline; each task has its own kind, which says more of ``input``, ``output`` and ``gate``."""

    task: str
    name: Name
    folder: Path
    part_of: Name | None = None
    """The pipeline that this one is a part of, whose TOML file says what it is."""
    source: Source
    input: Input = Input()
    engine: Engine = Engine()
    serving: Serving = Serving()
    calibration: Calibration = Calibration()
    output: Table = Table()
    gate: Gate = Gate()
    drift: Drift = Drift()

    @property
    def file(self) -> Path:
        """The TOML file this spec was read from."""
        return self.folder / f"{self.part_of or self.name}.toml"

    @property
    def lock_file(self) -> Path:
        """The committed facts about the model, beside the spec."""
        return self.folder / f"{self.name}.lock.toml"

    def beside(self, path: Path) -> Path:
        """A path written in the spec, taken from the spec's own folder."""
        return self.folder / path.expanduser()


class ImageInput(Input):
    """Images: JPEG, PNG or WebP."""

    max_bytes: Count = 20 * 2**20
    max_pixels: Count = 50_000_000


class ImageEngine(Engine):
    """As ``Engine``; an image is much more work than a text."""

    max_batch_size: Count = 8


class ImageSpec(PipelineSpec):
    """A pipeline of images."""

    input: ImageInput = ImageInput()
    engine: ImageEngine = ImageEngine()


class TextSpec(PipelineSpec):
    """A pipeline of texts."""

    input: TextInput = TextInput()
    redact: Redact | None = None


class SoundInput(Bucketed):
    """Recordings: WAV or FLAC. Buckets are in seconds."""

    max_bytes: Count = 50 * 2**20
    max_seconds: Count = 30
    longest: ClassVar[str] = "max_seconds"


class SoundEngine(Engine):
    """As ``Engine``; a recording is much more work than a text."""

    max_batch_size: Count = 8


class SoundSpec(PipelineSpec):
    """A pipeline of recordings."""

    input: SoundInput = SoundInput()
    engine: SoundEngine = SoundEngine()
