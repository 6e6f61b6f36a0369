"""One pipeline, as its TOML file says it: frozen, every key known, every error with file, key and fix."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tritonsmith_build.errors import SmithError

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
    """Where the model comes from: exactly one of ``package``, ``hub`` and ``path``."""

    package: Text | None = None
    folder: str = "."
    hub: Text | None = None
    revision: Text | None = None
    path: Path | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="of the weights file; checked when given")
    adapter: Path | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [key for key in ("package", "hub", "path") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of package, hub and path is needed, not {given or 'none'}")
        if self.hub and not self.revision:
            raise ValueError("a hub model needs its revision, so that a rebuild gives the same model")
        return self


class Input(Table):
    """What a caller may send. What is left out is read from the model."""

    max_length: Count | None = None
    buckets: tuple[Count, ...] | None = None
    max_bytes: Count = 65536

    @model_validator(mode="after")
    def _buckets_rise_to_max_length(self) -> Self:
        if self.buckets is None:
            return self
        if list(self.buckets) != sorted(set(self.buckets)) or not self.buckets:
            raise ValueError("buckets must rise, for example [16, 32, 64, 128]")
        if self.max_length is not None and self.buckets[-1] != self.max_length:
            raise ValueError(f"the last of buckets is {self.buckets[-1]}; it must be max_length, {self.max_length}")
        return self


class ContextInput(Input):
    """As ``Input``, and how many tokens two windows of a long context share."""

    stride: Count | None = None


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
    """Text from which the range of activations is measured; disjoint from the gate's."""

    data: Path | None = None


class ClassifyGate(Table):
    """What a build of a classifier must prove against FP32 on the gate's text."""

    data: Path | None = None
    min_agreement: Share = 0.98
    max_accuracy_drop: Share = 0.01


class EmbedGate(Table):
    """What a build of an embedding model must prove against FP32: cosine similarity, mean and first percentile."""

    data: Path | None = None
    min_cosine: Share = 0.985
    min_cosine_p01: Share = 0.97


class ClassifyOutput(Table):
    """The names of the classes, where the model's own are not wanted."""

    labels: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError("two labels are the same; give each class a name of its own")
        return self


class AgreementGate(Table):
    """What a build must prove against FP32: the share of decisions (a token's class, what a mask stands for) that are equal."""

    data: Path | None = None
    min_agreement: Share = 0.98


class CorrelationGate(Table):
    """What a build must prove against FP32 where answers are picked by comparing scores: their correlation."""

    data: Path | None = None
    min_correlation: Share = 0.98


class EntityOutput(ClassifyOutput):
    """Names of the classes, and those that are no entity."""

    ignore_labels: tuple[Text, ...] = ("O",)


class EmbedOutput(Table):
    """How token vectors become one, where the model's own way is not wanted."""

    pooling: Pooling | None = None
    normalize: Flag | None = None
    truncate_dim: Count | None = None


class NoOutput(Table):
    """Nothing to choose: the answer is the model's."""


class FillOutput(Table):
    """How many masks a text may have."""

    max_masks: Count = 4


class _Spec(Table):
    name: Name
    folder: Path
    source: Source
    input: Input = Input()
    engine: Engine = Engine()
    serving: Serving = Serving()
    calibration: Calibration = Calibration()

    @property
    def file(self) -> Path:
        """The TOML file this spec was read from."""
        return self.folder / f"{self.name}.toml"

    @property
    def lock_file(self) -> Path:
        """The committed facts about the model, beside the spec."""
        return self.folder / f"{self.name}.lock.toml"

    def beside(self, path: Path) -> Path:
        """A path written in the spec, taken from the spec's own folder."""
        return self.folder / path.expanduser()


class TextClassification(_Spec):
    """A pipeline that names the class of a text."""

    task: Literal["text-classification"]
    output: ClassifyOutput = ClassifyOutput()
    gate: ClassifyGate = ClassifyGate()


class TokenClassification(_Spec):
    """A pipeline that finds entities in a text."""

    task: Literal["token-classification"]
    output: EntityOutput = EntityOutput()
    gate: AgreementGate = AgreementGate()


class FeatureExtraction(_Spec):
    """A pipeline that turns a text into one vector."""

    task: Literal["feature-extraction"]
    output: EmbedOutput = EmbedOutput()
    gate: EmbedGate = EmbedGate()


class ZeroShotClassification(_Spec):
    """A pipeline that says which of the caller's labels fit a text, by a model that knows what follows from what."""

    task: Literal["zero-shot-classification"]
    output: NoOutput = NoOutput()
    gate: AgreementGate = AgreementGate()


class TextRanking(_Spec):
    """A pipeline that sorts documents by how well they fit a query."""

    task: Literal["text-ranking"]
    output: NoOutput = NoOutput()
    gate: CorrelationGate = CorrelationGate()


class QuestionAnswering(_Spec):
    """A pipeline that finds the answer to a question in a context of any length."""

    task: Literal["question-answering"]
    input: ContextInput = ContextInput()
    output: NoOutput = NoOutput()
    gate: CorrelationGate = CorrelationGate()


class FillMask(_Spec):
    """A pipeline that says which tokens may stand where a text has a mask."""

    task: Literal["fill-mask"]
    output: FillOutput = FillOutput()
    gate: AgreementGate = AgreementGate()


PipelineSpec = (
    TextClassification
    | ZeroShotClassification
    | TokenClassification
    | QuestionAnswering
    | FillMask
    | FeatureExtraction
    | TextRanking
)
_ADAPTER: TypeAdapter[PipelineSpec] = TypeAdapter(Annotated[PipelineSpec, Field(discriminator="task")])
_SPECS = {get_args(cls.model_fields["task"].annotation)[0]: cls for cls in get_args(PipelineSpec)}
_READ_FROM_FILE = ("name", "folder")


def spec_from_file(file: Path) -> PipelineSpec:
    """Read one pipeline's TOML. The file's name, without its ending, is the pipeline's name.

    Raises SmithError with file, key and fix, a line each, for everything that is wrong with it.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SmithError("no such spec", where=file, fix=_nearby(file)) from None
    except IsADirectoryError:
        raise SmithError("is a folder", where=file, fix="give the name of a pipeline or the path of its TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SmithError(f"not valid TOML: {error}", where=file, fix="correct that line") from None
    if clash := [key for key in _READ_FROM_FILE if key in content]:
        raise SmithError(f"{clash[0]}: unknown key", where=file, fix="delete it: the file's own name names the pipeline")
    try:
        return _ADAPTER.validate_python({**content, "name": file.stem, "folder": file.parent.absolute()})
    except ValidationError as error:
        raise SmithError("\n".join(f"{file}: {_explain(dict(problem), content)}" for problem in error.errors())) from None


def _nearby(file: Path) -> str:
    there = sorted(path.name.removesuffix(".toml") for path in file.parent.glob("*.toml") if ".lock" not in path.name)
    return f"there are {', '.join(there)}" if there else "give a name under pipelines/ or the path of a TOML file"


def _explain(problem: dict[str, Any], content: dict[str, Any]) -> str:  # noqa: PLR0911 (a row a kind of error)
    """One line of what pydantic found: the key as the file writes it, what is wrong, what to write instead."""
    path = [str(part) for part in problem["loc"]]
    if path and path[0] == content.get("task"):  # which kind of spec it was read as, no key of the file
        path = path[1:]
    key = ".".join(path)
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(content.get("task"), path[:-1])
            close = difflib.get_close_matches(path[-1], known, n=1)
            fix = f"did you mean {'.'.join([*path[:-1], close[0]])}?" if close else f"known here: {', '.join(known)}"
            return f"{key}: unknown key; {fix}"
        case "missing":
            return f"{key}: missing; add it" + (", for example [source] path = '../my-model'" if key == "source" else "")
        case "union_tag_invalid":
            task = content.get("task")
            close = difflib.get_close_matches(str(task), _SPECS, n=1)
            return f"task: unknown task {task!r}; " + (
                f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_SPECS)}"
            )
        case "union_tag_not_found":
            return f"task: missing; add one of: {', '.join(_SPECS)}"
        case "string_pattern_mismatch" if key == "name":
            return "the file's name names models in Triton; use small letters, digits and _, beginning with a letter"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
    message = str(problem["msg"])
    return f"{key}: {message[0].lower()}{message[1:]}, not {problem['input']!r}"


def _known_keys(task: object, path: list[str]) -> list[str]:
    table: type[BaseModel] = _SPECS[str(task)]
    for part in path:
        annotation = table.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        table = annotation
    return [key for key in table.model_fields if path or key not in _READ_FROM_FILE]
