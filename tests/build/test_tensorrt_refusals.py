"""What TensorRT cannot take must be caught, and said, before a GPU sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import tensorrt_rtx as trt
from onnx import TensorProto, helper, numpy_helper
from tensorrt_support import for_ampere
from tiny_models import POSITIONS
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.logger import logger_of
from tritonsmith_build.gpu.plan import plan_from_onnx
from tritonsmith_build.gpu.profiles import Profile, profiles_for
from workbench import Exported, shapes_of

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def graph_of(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray[Any, Any]], kind: int = TensorProto.FLOAT) -> bytes:
    made = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("x", kind, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()


WEIGHT = np.ones((4, 4), np.float32)
ODD = {
    "types mixed into a product": graph_of(
        helper.make_node("MatMul", ["x", "w"], ["y"], name="mixed"), constants={"w": WEIGHT.astype(np.float16)}
    ),
    "asymmetric quantization": graph_of(
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="asymmetric"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        constants={"s": np.float32(0.1), "z": np.int8(5)},
    ),
    "an operation it does not have": graph_of(helper.make_node("StringNormalizer", ["x"], ["y"], name="unknown"), constants={}),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_a_graph_that_tensorrt_cannot_take_is_an_error_with_its_words(content: bytes) -> None:
    with pytest.raises(SmithError, match="TensorRT"):
        plan_from_onnx(trt, content, [Profile({"x": (4,)}, 1, 2)], configure=for_ampere)


def test_a_missing_profile_is_an_error(exported: Callable[[str], Exported]) -> None:
    with pytest.raises(SmithError, match="no optimization profile has been defined"):
        plan_from_onnx(trt, exported("bert-2").file.read_bytes(), [], configure=for_ampere)


def test_a_profile_beyond_the_models_positions_is_an_error(exported: Callable[[str], Exported]) -> None:
    profiles = profiles_for(shapes_of(INPUTS, [POSITIONS + 1]), 4)
    with pytest.raises(SmithError, match=r"TensorRT: .*broadcast dimensions must be conformable"):
        plan_from_onnx(trt, exported("bert-2").file.read_bytes(), profiles, configure=for_ampere)


def test_a_profile_whose_largest_shape_alone_is_beyond_them_is_only_a_warning_to_tensorrt_and_an_error_here(
    exported: Callable[[str], Exported],
) -> None:
    other = trt.Builder(logger_of(trt))

    def configured(config: Any) -> None:
        for_ampere(config)
        profile = other.create_optimization_profile()
        for name in INPUTS:
            profile.set_shape(name, (1, 16), (2, 16), (4, POSITIONS + 1))
        config.add_optimization_profile(profile)

    with pytest.raises(SmithError, match=r"TensorRT: .*kMAX.*not self-consistent"):
        plan_from_onnx(
            trt, exported("bert-2").file.read_bytes(), profiles_for(shapes_of(INPUTS, [16]), 4), configure=configured
        )


def test_there_is_a_profile_a_bucket() -> None:
    assert profiles_for(shapes_of(["ids"], (16, 128)), 32) == [Profile({"ids": (16,)}, 8, 32), Profile({"ids": (128,)}, 8, 32)]
    assert profiles_for(shapes_of(["ids"], (16,)), 1) == [Profile({"ids": (16,)}, 1, 1)]
    assert Profile({"pixels": (3, 8, 8)}, 2, 4).range_of("pixels") == ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
