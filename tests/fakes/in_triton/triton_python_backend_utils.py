"""What Triton injects into its Python backend: what ``tritonsmith_steps.serve`` calls, no more lenient than Triton."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS: Counter[tuple[str, ...]] = Counter()
"""By metric and labels' values, the model first."""
MADE: Counter[str] = Counter()
"""How often each metric family was made."""
TOLD: Counter[str] = Counter()
"""How often each metric family was told something."""
LOG: list[str] = []


class TritonModelException(Exception):  # noqa: N818
    pass


class TritonError:
    INTERNAL = 1
    INVALID_ARG = 3

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        assert isinstance(message, str)
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    def __init__(self, name: str, array: NDArray[Any]) -> None:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: a numpy array is needed, not {type(array)}")
        if array.dtype == np.object_ and not all(type(item) is bytes for item in array.ravel()):
            raise TypeError(f"{name}: BYTES holds bytes")
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        return self._array


class InferenceRequest:
    def __init__(self, inputs: list[Tensor], request_id: str = "") -> None:
        self._inputs, self._id = inputs, request_id

    def request_id(self) -> str:
        return self._id

    def inputs(self) -> list[Tensor]:
        return self._inputs


class InferenceResponse:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self._tensors, self._error = output_tensors or [], error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


class Logger:
    @staticmethod
    def log_error(message: str) -> None:
        LOG.append(message)


class _Metric:
    def __init__(self, family: str, labels: dict[str, str]) -> None:
        self._key = family, *labels.values()

    def increment(self, value: float) -> None:
        if value < 0:
            raise ValueError("a counter can only go up")
        METRICS[self._key] += value
        TOLD[self._key[0]] += 1


class MetricFamily:
    COUNTER = "counter"

    def __init__(self, name: str, description: str, kind: str) -> None:
        assert description
        assert kind == self.COUNTER
        MADE[name] += 1
        self._name = name

    def Metric(self, labels: dict[str, str]) -> _Metric:  # noqa: N802
        assert next(iter(labels)) == "model"
        assert all(isinstance(value, str) for value in labels.values())
        return _Metric(self._name, labels)
