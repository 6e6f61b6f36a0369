"""``tritonsmith precision``: what each precision costs and saves, measured here and written as a page."""

from __future__ import annotations

import os
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tritonsmith_steps.runtimes import PLAIN, Choice, Run, choices_in, first_available

from tritonsmith_build.batches import batches
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.facts import facts_from_lock
from tritonsmith_build.measuring import median_seconds, processor
from tritonsmith_build.progress import Progress
from tritonsmith_build.render import VERSION, Names
from tritonsmith_build.stagecache import StageCache, versions
from tritonsmith_build.step_files import tokenize_settings
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.targets import TARGETS
from tritonsmith_build.work import examples_of

_ROWS, _TEXTS = 8, 64
_TOOLS = ("onnxruntime", "onnx", "nvidia-modelopt", "torch", "transformers")


@dataclass(frozen=True)
class Line:
    """One pipeline at one precision on one target."""

    pipeline: str
    target: str
    precision: str
    nearness: float
    """Label agreement with FP32, or mean cosine."""
    accuracy: float | None
    not_finite: int
    int8_products: float
    not_quantized: str
    engine: str
    """What ran it here, and the type it worked in where the file says FP32."""
    megabytes: float
    texts_per_second: float
    """In process, batches of ``_ROWS`` real texts as long as they are."""


def measure(specs: Sequence[PipelineSpec], *, cache: StageCache, progress: Progress) -> Iterator[Line]:
    """Build every precision of every target, apart from the repository, and read what the builds proved.

    Raises SmithError where a build does not pass its gate.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for spec in specs:
            for target, row in TARGETS.items():
                for precision in row.routes if not row.plan else ():  # a plan's figures need a GPU: tritonsmith gpu-report
                    built = build_pipeline(
                        spec, repository=Path(scratch), cache=cache, progress=progress, precision=precision, target=target
                    )
                    proved = built.manifest["targets"][target]
                    file = Path(scratch) / Names.of(spec).engine / str(VERSION) / row.artefact
                    choices = choices_in(file.parent) if row.chooses else [PLAIN]
                    yield _line(spec, target, precision, proved, file, *_served(spec, Path(scratch), choices, file))


def _line(
    spec: PipelineSpec, target: str, precision: str, proved: dict[str, Any], file: Path, engine: str, speed: float
) -> Line:
    served = [row["gate"] for row in proved.get("engines", ()) if row["engine"] == engine]
    gate = served[0] if served else proved["gate"]
    return Line(
        pipeline=spec.name,
        target=target,
        precision=precision,
        nearness=gate.get("agreement", gate.get("cosine")),
        accuracy=gate.get("accuracy"),
        not_finite=gate["not_finite"],
        int8_products=proved["weights"].get("int8", 0.0),
        not_quantized=summary(proved.get("not_quantized", [])),
        engine=engine,
        megabytes=file.stat().st_size / 1e6,
        texts_per_second=speed,
    )


def summary(left_out: Sequence[str]) -> str:
    """What is left out, the layers of one place counted: ``after GELU (6), before GELU (1)``."""
    places = Counter(name.partition(", layer ")[0] for name in left_out)
    return ", ".join(place if count == 1 and place in left_out else f"{place} ({count})" for place, count in places.items())


def _served(spec: PipelineSpec, repository: Path, choices: Sequence[Choice], file: Path) -> tuple[str, float]:
    """What serves a file here, and how fast; the engine is gone when this returns (see ``stages/runtimes.py``)."""
    choice, run, _ = first_available(choices, file)
    return str(choice), _texts_per_second(spec, repository, run)


def _texts_per_second(spec: PipelineSpec, repository: Path, run: Run) -> float:
    tokenizer = repository / Names.of(spec).tokenize / str(VERSION) / "tokenizer.json"
    texts = examples_of(spec, spec.gate.data, "gate.txt").texts[:_TEXTS]
    data = list(batches(tokenizer, tokenize_settings(spec, facts_from_lock(spec)), texts, rows=_ROWS))
    return len(texts) / median_seconds(run, data)


def as_dicts(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For ``--json``."""
    return [asdict(line) for line in lines]


def page(lines: Sequence[Line], command: str) -> str:
    """The measurements as Markdown, with the machine and the versions they were taken on."""
    tools = ", ".join(f"{name} {version}" for name, version in versions(*_TOOLS).items())
    rows = "\n".join(_row(line) for line in lines)
    return f"""\
# Precision

Generated by `{command}` on {processor()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}; {tools}.

Each line was built and gated against FP32 on the pipeline's gate texts; *near* is label agreement or mean cosine. Products are
the multiplications by a weight. Speed is that of what serves it on this CPU, in process, {_ROWS} texts a batch: it says
nothing of a GPU. The `onnxruntime` target's FP16 and INT8 graphs are what TensorRT takes; a CPU runs them slowly.

| pipeline | target | precision | near | accuracy | rows not finite | INT8 products | not quantized | runs on | MB | texts/s |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def _row(line: Line) -> str:
    accuracy = "" if line.accuracy is None else f"{line.accuracy:.4f}"
    proved = f"{line.nearness:.4f} | {accuracy} | {line.not_finite} | {line.int8_products:.0%} | {line.not_quantized}"
    costs = f"{line.engine} | {line.megabytes:.0f} | {line.texts_per_second:.0f}"
    return f"| {line.pipeline} | {line.target} | {line.precision} | {proved} | {costs} |"
