"""The one file that knows Triton: requests in, responses out, metrics, errors a caller can act on."""

from __future__ import annotations

import json
import os
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.room import Step, room_of

METRICS = {
    "tokens": ("tritonsmith_tokens_total", "Tokens of texts, special tokens included, padding not"),
    "padding": ("tritonsmith_padding_tokens_total", "Padding added, in tokens of texts or samples of recordings"),
    "samples": ("tritonsmith_samples_total", "Samples of recordings, at the model's own rate"),
    "pixels": ("tritonsmith_pixels_total", "Pixels of images as they came"),
    "truncated": ("tritonsmith_truncated_inputs_total", "Texts and recordings that were cut to the model's greatest length"),
}


class _Meters:
    """Counters in Triton's own metrics page, one of each kind per model; made when first counted.

    Triton is told once a batch: each telling is a message to its process and back.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._made: dict[str, tuple[Any, Any]] = {}
        self._counted: Counter[str] = Counter()

    def __call__(self, name: str, amount: int) -> None:
        self._counted[name] += amount

    def tell(self) -> None:
        """Add what was counted since the last time."""
        for name, amount in self._counted.items():
            if name not in self._made:
                title, description = METRICS[name]
                family = pb_utils.MetricFamily(name=title, description=description, kind=pb_utils.MetricFamily.COUNTER)
                self._made[name] = (family, family.Metric(labels={"model": self._model}))
            if amount:
                self._made[name][1].increment(amount)
        self._counted.clear()


def triton_model(step: str) -> type:
    """The class that Triton looks for in a ``model.py``, for the ``STEP`` of one of this package's modules."""

    class TritonPythonModel:
        def initialize(self, args: dict[str, str]) -> None:
            config = json.loads(args["model_config"])
            parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
            folder = Path(args["model_repository"]) / args["model_version"]
            self._inputs = [tensor["name"] for tensor in config["input"]]
            self._meters = _Meters(args["model_name"])
            try:
                kind = import_module(f"tritonsmith_steps.{step}").STEP
                os.nice(getattr(kind, "NICE", 0))
                made = kind.load(folder, parameters, self._meters)
            except Exception as error:
                raise pb_utils.TritonModelException(f"{args['model_name']} cannot start: {error}") from error
            if about := getattr(made, "about", ""):
                pb_utils.Logger.log_info(f"{args['model_name']} {about}")
            self._step = _with_room(made, step, config, args)

        def execute(self, requests: list[Any]) -> list[Any]:
            try:
                results = self._step([self._arrays(request) for request in requests])
                self._meters.tell()
                return [_response(result) for result in results]
            except Exception:
                # A fault of ours, not of a caller: the log gets the trace, each caller one line.
                pb_utils.Logger.log_error(traceback.format_exc())
                failed = pb_utils.TritonError(
                    f"the {step} step failed; the server's log says why", pb_utils.TritonError.INTERNAL
                )
                return [pb_utils.InferenceResponse(error=failed) for _ in requests]

        def _arrays(self, request: Any) -> Arrays:
            """A request's tensors; an optional one that it does not have is left out."""
            found = ((name, pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs)
            return {name: tensor.as_numpy() for name, tensor in found if tensor is not None}

    return TritonPythonModel


def _with_room(step: Any, kind: str, config: dict[str, Any], args: dict[str, str]) -> Step:
    """A step that feeds an engine, or the engine, each of which minds how much waits between them; another as it is."""
    side = getattr(step, "ROOM", None)
    room = room_of(args["model_name"].removesuffix(f"_{kind}"), args["model_version"]) if side else None
    if room is None:
        made: Step = step
        return made
    if side == "sends":
        return room.sending(step)
    return room.taking(step, int(args["model_instance_name"].rpartition("_")[2]), config["max_batch_size"])


def _response(result: Result) -> Any:
    if isinstance(result, ValueError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(result), pb_utils.TritonError.INVALID_ARG))
    return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(name, array) for name, array in result.items()])
