"""Graphs as somebody else might export them, written down node by node, so that a hand can count what they give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from tiny_models import FAMILIES

_HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'
TOKENS = (
    _HEADER
    + """\
given (int64[batch, seq] attention_mask, int64[batch, seq] input_ids) => (float[batch, seq, 3] scores) {
  mask = Cast<to = 1>(attention_mask)
  column = Unsqueeze(mask, last)
  rows = Gather(table, input_ids)
  scores = Mul(rows, column)
}
"""
)
"""A row of ``TABLE`` for each token, zeros for padding."""
SUMS = TOKENS.replace("float[batch, seq, 3]", "float[batch, 3]").replace(
    "scores = Mul(rows, column)", "kept = Mul(rows, column)\n  scores = ReduceSum<keepdims = 0>(kept, middle)"
)
"""Their sum."""
IMAGES = (
    _HEADER
    + """\
given (float[n, 3, 24, 32] picture) => (float[n, 4] scores) {
  convolved = Conv<kernel_shape = [3, 3]>(picture, kernel)
  bent = Relu(convolved)
  pooled = GlobalAveragePool(bent)
  flat = Flatten<axis = 1>(pooled)
  scores = MatMul(flat, head)
}
"""
)
_DRAW = np.random.default_rng(3)
TABLE: NDArray[np.float32] = _DRAW.normal(0, 1, (400, 3)).astype(np.float32)
CONSTANTS: dict[str, NDArray[np.generic]] = {
    "table": TABLE,
    "kernel": _DRAW.normal(0, 1, (5, 3, 3, 3)).astype(np.float32),
    "head": _DRAW.normal(0, 6, (5, 4)).astype(np.float32),
    "first": np.array([0], np.int64),
    "last": np.array([-1], np.int64),
    "none": np.array(0, np.int64),
    "middle": np.array([1], np.int64),
}


def save_graph(file: Path, text: str, *, external: bool = False) -> Path:
    """The graph that ``text`` writes down, with those of ``CONSTANTS`` that it reads."""
    model = parser.parse_model(text)
    read = {name for node in model.graph.node for name in node.input}
    made = [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items() if name in read]
    model.graph.initializer.extend(made)
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {"location": "weights.bin", "size_threshold": 1024} if external else {}
    onnx.save(model, file, save_as_external_data=external, **options)
    return file


def save_texts(folder: Path, text: str = SUMS, *, external: bool = False) -> Path:
    """The graph as ``model.onnx``, and beside it a tokenizer.json alone."""
    FAMILIES["bert"].tokenizer().save_pretrained(folder)
    for file in folder.iterdir():
        if file.name != "tokenizer.json":
            file.unlink()
    save_graph(folder / "model.onnx", text, external=external)
    return folder
