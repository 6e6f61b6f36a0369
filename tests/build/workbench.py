"""What the build's tests work with: a spec on disk, a model read and exported, and a whole place with a finished build."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import tritonsmith
import tritonsmith_build
import tritonsmith_steps
from rich.console import Console
from tiny_models import balance, save_classifier, sentences
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.facts import TextFacts
from tritonsmith_build.modalities.texts import TEXTS, Texts
from tritonsmith_build.modality import Shape
from tritonsmith_build.progress import Progress
from tritonsmith_build.publish import Built
from tritonsmith_build.source import locate
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.stages.export import onnx_from_graph
from tritonsmith_build.stages.graphs import EngineGraph
from tritonsmith_build.stages.model import graph_from_source
from tritonsmith_build.stages.read import read
from tritonsmith_build.tables import PipelineSpec, Precision
from tritonsmith_build.targets import TargetName
from tritonsmith_build.tasks import TASKS

Snapshot = dict[str, tuple[bytes, int]]


def write_spec(folder: Path, name: str = "moods", **content: Any) -> PipelineSpec:
    """``folder/<name>.toml`` for a classifier in ``folder/model``, its keys changed by ``content``, and read back."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"task": "text-classification", "source": {"path": "model"}, **content}
    (folder / f"{name}.toml").write_text(tomli_w.dumps(wanted), encoding="utf-8")
    return spec_from_file(folder / f"{name}.toml")


def some_facts(**changes: Any) -> TextFacts:
    """Facts about a small three-class BERT."""
    facts: dict[str, Any] = {
        "model_type": "bert",
        "weights": {"model.safetensors": "0" * 64},
        "positions": 64,
        "max_length": 32,
        "buckets": (16, 32),
        "inputs": ("input_ids", "attention_mask", "token_type_ids"),
        "pad_id": 0,
        "width": 3,
        "labels": ("SAD", "CALM", "GLAD"),
        "activation": "softmax",
    }
    return TextFacts.model_validate(facts | changes)


def read_model(spec: PipelineSpec, folder: Path) -> TextFacts:
    """Run the read stage into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    read(spec, locate(spec), folder)
    return TextFacts.model_validate_json((folder / "facts.json").read_text())


def shapes_of(inputs: Sequence[str], lengths: Sequence[int]) -> list[Shape]:
    """Of texts in these buckets."""
    return [Shape(f"{length} tokens", dict.fromkeys(inputs, (length,))) for length in lengths]


@dataclass(frozen=True)
class Exported:
    """A model from its folder to its ONNX file."""

    spec: PipelineSpec
    model: Path
    facts: TextFacts
    graph: EngineGraph
    file: Path
    tokenizer: Path

    @property
    def shapes(self) -> Sequence[Shape]:
        return TEXTS.shapes(self.facts)

    def samples(self, texts: Sequence[str]) -> Texts:
        """Texts as the build takes them from its gate."""
        return Texts(self.tokenizer, TEXTS.settings(self.spec, self.facts, TASKS[self.spec.task]), texts)

    def batch(self, texts: Sequence[str], length: int | None = None) -> dict[str, Any]:
        """All texts as one input of the engine."""
        samples = self.samples(texts)
        if length is not None:
            settings = replace(samples.settings, max_length=length, buckets=(length,))
            samples = replace(samples, settings=settings)
        (made,) = samples.batches(len(texts), as_on_gpu=length is not None)
        return made


def export(spec: PipelineSpec, folder: Path, made_before: Path | None = None) -> Exported:
    """Read and export the model of ``spec`` into ``folder``; its graph may be one that was made before."""
    facts = read_model(spec, folder)
    graph = graph_from_source(spec, locate(spec), facts)
    if made_before:
        shutil.copy(made_before, folder / "model.onnx")
    else:
        onnx_from_graph(graph, TEXTS.axes(facts), TEXTS.dtypes, TASKS[spec.task].engine_output, folder / "model.onnx")
    assert spec.source.path is not None
    return Exported(spec, spec.beside(spec.source.path), facts, graph, folder / "model.onnx", folder / "tokenizer.json")


@dataclass(frozen=True)
class Workplace:
    """A folder with a spec, its model, a cache and a repository."""

    root: Path

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def spec_file(self) -> Path:
        return self.root / "moods.toml"

    @property
    def engine(self) -> Path:
        return self.repository / "moods_engine" / "1" / "model.cpu.onnx"

    def respecify(self, **tables: Mapping[str, Any]) -> None:
        """Write the spec again, with these tables merged over the usual ones."""
        usual: dict[str, Any] = {
            "input": {"buckets": [16, 32]},
            "engine": {"max_batch_size": 4, "precision": "int8"},
            "gate": {"data": "gate.txt", "min_agreement": 0.8},
            "calibration": {"data": "calibration.txt"},
        }
        write_spec(self.root, **(usual | {name: usual.get(name, {}) | dict(table) for name, table in tables.items()}))

    def build(self, precision: Precision | None = None, repository: Path | None = None, target: TargetName = "cpu") -> Built:
        """What ``tritonsmith build`` does."""
        return build_pipeline(
            spec_from_file(self.spec_file),
            repository=repository or self.repository,
            cache=StageCache(self.cache),
            progress=Progress(Console(file=io.StringIO())),
            precision=precision,
            target=target,
        )

    def published(self) -> Snapshot:
        """The repository and the lock file: every path with its bytes and the time it was written."""
        return snapshot(self.repository) | snapshot(self.root, "moods.lock.toml")

    def scratch(self) -> list[Path]:
        """Whatever a stopped build should not have left: stages cache under two names, files end in no ``.part``."""
        hidden = [path for path in self.cache.iterdir() if path.name.startswith(".")]
        return hidden + list(self.repository.rglob("*.part")) + list(self.root.glob("*.part"))


def snapshot(folder: Path, pattern: str = "**/*") -> Snapshot:
    """Every file under ``folder`` with its bytes and the time it was written."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def new_workplace(root: Path) -> Workplace:
    """A tiny two-class BERT to be served in INT8, its decisions close enough that INT8 changes a few."""
    place = Workplace(root)
    gate = sentences(200, seed=5)
    place.respecify()
    save_classifier(root / "model")
    balance(root / "model", gate)
    (root / "gate.txt").write_text("\n".join(gate))
    (root / "calibration.txt").write_text("\n".join(sentences(64, seed=6)))
    return place


def copy_of(place: Workplace, root: Path) -> Workplace:
    """The same, to be changed freely; times of files are kept."""
    shutil.copytree(place.root, root)
    return Workplace(root)


_HIDING = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.argv[0] = "tritonsmith"
"""
_ROOTS = [Path(package.__path__[0]).parent for package in (tritonsmith_build, tritonsmith, tritonsmith_steps)]


def python(code: str, *args: object, hidden: Sequence[str] = (), cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter that sees the packages under test, and none of the ``hidden`` modules."""
    paths = {"PYTHONPATH": os.pathsep.join(map(str, _ROOTS)), "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-c", _HIDING.format(hidden=set(hidden)) + code, *map(str, args)]
    return subprocess.run(command, env=os.environ | paths, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def cosine(left: Any, right: Any) -> Any:
    """Row by row, in float64."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    return (left * right).sum(-1) / np.linalg.norm(left, axis=-1) / np.linalg.norm(right, axis=-1)
