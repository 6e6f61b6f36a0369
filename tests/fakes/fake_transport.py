"""A wire that leads nowhere: an ``answer`` of the test's own stands for the server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Answer = Callable[[list[str]], Any]
"""What the server makes of the texts of one request: arrays, or for asyncio a coroutine of them; or it raises."""


def config_of(task: str, max_batch_size: int) -> dict[str, Any]:
    return {"max_batch_size": max_batch_size, "parameters": {"task": {"string_value": task}}}


def codes(texts: list[str]) -> Arrays:
    """An embedding that shows whose it is: each text's number, of ``"t7"`` for example."""
    return {"EMBEDDING": np.array([[int(text[1:]), len(texts)] for text in texts], dtype=np.float32)}


class _Recorded:
    def __init__(
        self, answer: Answer = codes, *, task: str = "feature-extraction", max_batch_size: int = 3, config: Any = None
    ) -> None:
        self._answer, self._config = answer, config or config_of(task, max_batch_size)
        self.sent: list[list[str]] = []
        self.timeouts: list[float] = []
        """Seconds that each request, those for the configuration too, was given."""
        self.ids: list[str] = []
        self.closed = 0

    def _configured(self, model: str, timeout: float) -> Mapping[str, Any]:
        assert model == "demo"
        self.timeouts.append(timeout)
        config: Mapping[str, Any] = self._config
        return config

    def _received(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Any:
        assert model == "demo"
        self.ids.append(request_id)
        self.timeouts.append(timeout)
        assert inputs.keys() == {"TEXT"}
        assert inputs["TEXT"].shape[1:] == (1,)
        texts = [text.decode() for text in inputs["TEXT"].ravel()]
        self.sent.append(texts)
        return self._answer(texts)


class FakeTransport(_Recorded):
    def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        return self._configured(model, timeout)

    def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        return self._received(model, inputs, timeout, request_id)

    def close(self) -> None:
        self.closed += 1


class FakeAsyncTransport(_Recorded):
    async def config(self, model: str, timeout: float) -> Mapping[str, Any]:
        return self._configured(model, timeout)

    async def infer(self, model: str, inputs: Arrays, timeout: float, request_id: str) -> Arrays:
        answer = self._received(model, inputs, timeout, request_id)
        return await answer if inspect.isawaitable(answer) else answer

    async def close(self) -> None:
        self.closed += 1
