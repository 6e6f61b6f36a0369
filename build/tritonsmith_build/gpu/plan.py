"""A TensorRT plan from an ONNX file: strongly typed, a profile a length bucket.

Nothing here imports TensorRT. The module is an argument, so that the same code runs with TensorRT 10.16, with 11, and with
TensorRT-RTX, which builds without a GPU and stands in for the others in the tests. What comes from the module is annotated with
TensorRT's own types, so that a type checker can hold this code against either version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.logger import logger_of
from tritonsmith_build.gpu.profiles import Profile

if TYPE_CHECKING:
    import tensorrt


def plan_from_onnx(
    trt: Any,
    onnx: bytes,
    profiles: Sequence[Profile],
    *,
    configure: Callable[[tensorrt.IBuilderConfig], None] = lambda config: None,
) -> bytes:
    """The serialized plan.

    ``configure`` may set what the target needs on the builder's configuration. Raises SmithError with the node for a graph
    that TensorRT cannot take, and with TensorRT's own words for a profile or a build that fails: the builder itself only
    returns None.
    """
    logger = logger_of(trt)
    builder: tensorrt.Builder = trt.Builder(logger)
    network, _parser = _network(trt, builder, logger, onnx)
    config = builder.create_builder_config()
    for profile in profiles:
        config.add_optimization_profile(_profile(builder, network, profile))
    configure(config)
    plan = builder.build_serialized_network(network, config)
    if problems := list(logger.problems) or (["the builder returned nothing"] if plan is None else []):
        raise SmithError("; ".join(problems[:3]), where="TensorRT", fix="see the profiles and the types in the graph")
    return bytes(plan)


def network_types(trt: Any, onnx: bytes) -> dict[str, int]:
    """How many matrix products of a parsed network work in each type, by the type of their output before any cast.

    Read before a build, which needs no GPU. A product whose operands are dequantized right before it counts as INT8.
    """
    logger = logger_of(trt)
    network, _parser = _network(trt, trt.Builder(logger), logger, onnx)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    made_by = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    counts: dict[str, int] = {}
    for layer in layers:
        if layer.type != trt.LayerType.MATRIX_MULTIPLY:
            continue
        operands = [_behind_shuffles(trt, layer.get_input(index).name, made_by) for index in range(2)]
        quantized = all(made is not None and made.type == trt.LayerType.DEQUANTIZE for made in operands)
        kind = "INT8" if quantized else str(layer.get_output(0).dtype).rpartition(".")[2]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _behind_shuffles(trt: Any, tensor: str, made_by: dict[str, tensorrt.ILayer]) -> tensorrt.ILayer | None:
    made = made_by.get(tensor)
    while made is not None and made.type == trt.LayerType.SHUFFLE:
        made = made_by.get(made.get_input(0).name)
    return made


def _network(
    trt: Any, builder: tensorrt.Builder, logger: tensorrt.ILogger, onnx: bytes
) -> tuple[tensorrt.INetworkDefinition, tensorrt.OnnxParser]:
    # TensorRT 11 has no other kind of network and may drop the flag; 10.16 needs it.
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser: tensorrt.OnnxParser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        said = "; ".join(f"node {error.node_name() or error.node()}: {error.desc()}" for error in errors[:3])
        raise SmithError(
            said or "the parser gave no reason", where="TensorRT's ONNX parser", fix="export the model differently"
        )
    return network, parser  # the network reads weights that the parser owns


def _profile(
    builder: tensorrt.Builder, network: tensorrt.INetworkDefinition, profile: Profile
) -> tensorrt.IOptimizationProfile:
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        if name not in profile.shapes:
            raise SmithError(
                f"no shape is known for the input {name}", where="TensorRT", fix="name every input in the profiles"
            )
        shapes = profile.range_of(name)
        try:
            made.set_shape(name, *shapes)
        except (RuntimeError, ValueError) as error:
            said = f"input {name} cannot have the shapes {shapes}"
            raise SmithError(said, where="TensorRT", fix="correct input.buckets") from error
    return made
