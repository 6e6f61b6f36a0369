"""Graphs of images and recordings, built by TensorRT-RTX in the shapes that their configurations name: FP32 and FP16."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx as trt
from parity import Case
from parity_images import IMAGE_CASES
from parity_sounds import SOUND_CASES
from rich.console import Console
from tensorrt_support import TYPES, for_ampere
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.gpu.plan import network_types, plan_from_onnx
from tritonsmith_build.gpu.profiles import profiles_for
from tritonsmith_build.lock import facts_from_lock
from tritonsmith_build.progress import Progress
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.tables import Precision
from tritonsmith_build.tasks import TASKS

# Each architecture once; the plain transformers among them stand in test_tensorrt_families. One with sides that differ from
# request to request is tried at every change, the others by make test-full: a recording's length takes two minutes.
FIRST = [("detr", "object-detection")]
MORE = [
    ("wav2vec2", "automatic-speech-recognition"),
    ("convnext", "image-classification"),
    ("swin", "image-classification"),
    ("yolos", "object-detection"),
    ("segformer", "image-segmentation"),
    ("hubert", "audio-classification"),
    ("ast", "audio-classification"),
]
BY_NAME = {(case.family, case.task): case for case in (*IMAGE_CASES, *SOUND_CASES)}
CASES: list[Any] = [BY_NAME[name] for name in FIRST]
CASES += [pytest.param(BY_NAME[name], marks=pytest.mark.full) for name in MORE]
PRECISIONS = [pytest.param("fp32", marks=pytest.mark.full), "fp16"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
def test_a_graph_is_built_for_every_shape_and_its_products_have_the_precisions_type(
    case: Case, precision: Precision, tmp_path: Path
) -> None:
    spec = spec_from_file(case.write(tmp_path))
    progress = Progress(Console(file=io.StringIO()))
    repository = tmp_path / "repository"
    built = build_pipeline(
        spec, repository=repository, cache=StageCache.default(), progress=progress, precision=precision, target="onnxruntime"
    )
    content = (repository / f"{spec.name}_engine" / "1" / "model.onnx").read_bytes()
    assert network_types(trt, content).keys() == {TYPES[precision]}
    profiles = profiles_for(TASKS[spec.task].modality.shapes(facts_from_lock(spec)), spec.engine.max_batch_size)
    assert len(plan_from_onnx(trt, content, profiles, configure=for_ampere)) > 100_000
    figures = built.manifest["targets"]["onnxruntime"]["gate"]
    assert figures["agreement"] > 0.98
