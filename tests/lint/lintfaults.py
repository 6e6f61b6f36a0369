"""What a fault is: one change to a good repository, and the one finding it must lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from lintmodels import ensemble
from lintplace import (
    ENGINE,
    ENSEMBLE,
    MANIFEST,
    TENSORRT,
    edited,
    write_graph,
)

INT32, INT64, FLOAT = onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
TYPE_INT64, TYPE_FP64 = 9, 12
GRAPH = f"{ENGINE}/model.onnx"
CPU_GRAPH = f"{ENGINE}/model.cpu.onnx"


@dataclass(frozen=True)
class Fault:
    """A change, what must be found, and words that its message and fix must hold."""

    level: str
    rule: str
    file: str
    field: str
    change: Callable[[Path], object]
    message: str
    fix: str


def step(index: int, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change a step of the sentiment ensemble: 0 tokenizes, 1 is the engine, 2 classifies."""
    return edited(ENSEMBLE, lambda config: change(config.ensemble_scheduling.step[index]))


def graph(**interface: Any) -> Callable[[Path], None]:
    """Another ``model.onnx``."""
    return lambda repository: write_graph(repository / GRAPH, **interface)


def cpu_graph(**interface: Any) -> Callable[[Path], None]:
    """Another ``model.cpu.onnx``, of which no manifest speaks."""

    def apply(repository: Path) -> None:
        write_graph(repository / CPU_GRAPH, **interface)
        (repository / MANIFEST).unlink()

    return apply


def rekey(mapping: Any, old: str, new: str) -> None:
    mapping[new] = mapping.pop(old)


def warmup(change: Callable[[Any], object]) -> Callable[[Path], None]:
    return edited(TENSORRT, lambda config: change(config.model_warmup[0]))


def sent(change: Callable[[Any], object]) -> Callable[[Path], None]:
    return warmup(lambda warmup: change(warmup.inputs["input_ids"]))


CHAIN = "chain/config.pbtxt"
QUEUE = "dynamic_batching.default_queue_policy.max_queue_size"
BOUNDED = "default_queue_policy { max_queue_size: 9 }"
DELAY = "dynamic_batching.max_queue_delay_microseconds"
STEP = "ensemble_scheduling.step"
RING = ensemble("chain", [("ring", "X", "Y")]) | ensemble("ring", [("chain", "X", "Y")])
TOKENIZER = "sentiment_tokenize/1/tokenizer.json"
