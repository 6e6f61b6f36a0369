"""What a graph must be spared before its types become 16 bits wide, FP16 or BF16.

Found in the graph and on calibration data, not by trial: ONNX Runtime on a CPU computes FP16 in FP32 and shows no overflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.stages.smooth import inner_values

Half = Literal["fp16", "bf16"]

MASKED = -(2.0**14)
"""What stands for minus infinity in a mask. After Softmax it is 0 as well, and three masks can still be added in FP16."""
LARGEST: dict[Half, float] = {"fp16": 2.0**15, "bf16": math.inf}
"""Beyond this a tensor stays FP32: half of what FP16 holds, because calibration does not see every text."""
_LEAST_FP16 = float(np.finfo(np.float16).min)
_TEXTS = 64


def with_finite_masks(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with ``MASKED`` for every constant below FP16's range.

    Masks are made with FP32's least number. It becomes minus infinity in 16 bits, and a row that is padding alone, all of it
    masked, becomes NaN.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor)
            if (masked := array < _LEAST_FP16).any():
                tensor.CopyFrom(numpy_helper.from_array(np.where(masked, np.float32(MASKED), array), tensor.name))
    return made


def kept_in_fp32(model: onnx.ModelProto, calibration: Sequence[Arrays], kind: Half) -> list[str]:
    """Names of the nodes that would overflow ``kind`` on ``calibration``, and of those that compute angles."""
    return sorted(_angles(model) | _too_large(model, calibration[:_TEXTS], LARGEST[kind]))


def _angles(model: onnx.ModelProto) -> set[str]:
    """What a sine or cosine is computed by: 16 bits cannot tell position 2049 from 2048, BF16 not even 257 from 256."""
    producer = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, onnx.NodeProto] = {}
    waiting = [node for node in model.graph.node if node.op_type in ("Sin", "Cos")]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = node
            waiting.extend(producer[name] for name in node.input if name in producer)
    return set(found)


def _too_large(model: onnx.ModelProto, calibration: Sequence[Arrays], largest: float) -> set[str]:
    """The nodes that read or write a tensor whose magnitude passes ``largest``."""
    if math.isinf(largest):
        return set()
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    made = {name for node in model.graph.node for name in node.output}
    floats = (value.name for value in inferred if value.type.tensor_type.elem_type == TensorProto.FLOAT)
    names = [name for name in floats if name in made]
    large: set[str] = set()
    for arrays in inner_values(model, names, calibration):
        large |= {name for name, array in zip(names, arrays, strict=True) if array.size and np.abs(array).max() > largest}
    return {node.name for node in model.graph.node if large & set(chain(node.input, node.output))}
