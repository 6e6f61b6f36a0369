"""A plan run on the GPU, as Triton's TensorRT backend runs it: a context a profile, chosen by the batch's length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.logger import logger_of
from tritonsmith_build.gpu.profiles import Profile
from tritonsmith_build.gpu.verify import Run

if TYPE_CHECKING:
    import tensorrt

    from tritonsmith_build.stages.verify import Original

_WARM_RUNS = 10


class PlanRunner:
    """Holds a loaded plan. Calling it with a batch gives the engine's one output, ``[rows, width]``, FP32."""

    def __init__(self, trt: Any, plan: bytes, profiles: Sequence[Profile]) -> None:
        self._trt, self._profiles, self._logger = trt, profiles, logger_of(trt)
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._runtime: tensorrt.Runtime = trt.Runtime(self._logger)
        engine: tensorrt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise SmithError(f"the plan does not load: {self._said()}", where="TensorRT", fix="see the driver's version")
        self.engine: tensorrt.ICudaEngine = engine
        self._contexts = [self._context(index) for index in range(len(profiles))]
        self._output = next(name for name in self._names() if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT)

    def _names(self) -> list[str]:
        return [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]

    def _context(self, profile: int) -> tensorrt.IExecutionContext:
        context: tensorrt.IExecutionContext | None = self.engine.create_execution_context()
        if context is None or not context.set_optimization_profile_async(profile, self._stream.cuda_stream):
            raise SmithError(f"no context for profile {profile}: {self._said()}", where="TensorRT", fix="free GPU memory")
        self._stream.synchronize()
        return context

    def __call__(self, batch: Arrays) -> NDArray[np.float32]:
        """The engine's output for a batch of a profile's shape."""
        context, output = self._prepared(batch)
        self._enqueue(context)
        self._stream.synchronize()
        return output.cpu().numpy()

    def seconds(self, batch: Arrays, runs: int) -> NDArray[np.float64]:
        """How long the GPU took for each of ``runs`` executions of one batch, data already there, after a warm-up."""
        context, _output = self._prepared(batch)
        for _ in range(_WARM_RUNS):
            self._enqueue(context)
        events = [(_event(), _event()) for _ in range(runs)]
        for begin, end in events:
            begin.record(self._stream)
            self._enqueue(context)
            end.record(self._stream)
        self._stream.synchronize()
        return np.array([begin.elapsed_time(end) / 1e3 for begin, end in events])

    def _prepared(self, batch: Arrays) -> tuple[tensorrt.IExecutionContext, torch.Tensor]:
        """The context with a batch's shapes and addresses set, and where its output will be."""
        context = self._contexts[self._profile_of(batch)]
        with torch.cuda.stream(self._stream):
            self._held = {name: torch.from_numpy(np.ascontiguousarray(array)).cuda() for name, array in batch.items()}
            for name, tensor in self._held.items():
                self._must(context.set_input_shape(name, tuple(tensor.shape)), f"the shape of {name}")
                self._must(context.set_tensor_address(name, tensor.data_ptr()), f"the address of {name}")
            output = torch.empty(tuple(context.get_tensor_shape(self._output)), dtype=torch.float32, device="cuda")
            self._must(context.set_tensor_address(self._output, output.data_ptr()), f"the address of {self._output}")
        return context, output

    def _profile_of(self, batch: Arrays) -> int:
        for index, profile in enumerate(self._profiles):
            if all(profile.takes(name, batch[name].shape[1:]) for name in profile.shapes):
                return index
        shapes = {name: array.shape for name, array in batch.items()}
        raise SmithError(f"no profile has the shapes {shapes}", where="TensorRT", fix="pad or resize to a shape of the spec")

    def _enqueue(self, context: tensorrt.IExecutionContext) -> None:
        self._must(context.execute_async_v3(self._stream.cuda_stream), "the execution")

    def _must(self, held: bool, what: str) -> None:
        if not held:
            raise SmithError(f"{what} was refused: {self._said()}", where="TensorRT", fix="see the driver's version and memory")

    def _said(self) -> str:
        return "; ".join(self._logger.problems[-3:]) or "it gave no reason"


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def reference_of(original: Original) -> Run:
    """What a plan is compared with: a model of PyTorch on the GPU, and a graph that was given where it runs, on the CPU."""
    return TorchRunner(original) if isinstance(original, torch.nn.Module) else original.answer


class TorchRunner:
    """The model itself on the GPU in FP32, called as a plan is."""

    def __init__(self, graph: torch.nn.Module) -> None:
        self._graph = graph.cuda()

    def __call__(self, batch: Arrays) -> NDArray[np.float32]:
        """The model's output for a batch."""
        with torch.inference_mode():
            output = self._graph(**{name: torch.from_numpy(array).cuda() for name, array in batch.items()})
        return output.cpu().numpy()  # type: ignore[no-any-return]
