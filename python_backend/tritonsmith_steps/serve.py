"""The one file that knows Triton: requests in, responses out, metrics, errors a caller can act on."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.drift import Counts, Reference, Window, reference_in
from tritonsmith_steps.journal import Journal
from tritonsmith_steps.meters import GAUGES, METRICS, Metric, Sums
from tritonsmith_steps.room import Step, room_of
from tritonsmith_steps.watching import OUTCOMES, WATCHES, outcomes, watched

_EVERY = 1.0
"""Seconds between two tellings: each number is a message to Triton's process and back."""
_PATIENCE = 2.0
"""Seconds for the last telling: a server that goes away may take none."""
_MANY, _MOST = 32, 256
"""Batches that are looked at before the second is over, and those that are kept at most: who brings more looks himself."""
_Passed = tuple[Sequence[Arrays], Sequence[Result]]
"""What a batch of callers' requests asked and got."""
_WATCHES = os.environ.get("TRITONSMITH_WATCH") != "0"
_CANARY = "tritonsmith-canary"
"""The id of a supervisor's questions."""


class _Telling:
    """A model's sums, told to Triton's metrics page by a thread of their own while there are any.

    The same thread looks at what was asked and answered, so that no caller waits for that. Each metric is made when it is
    first counted.
    """

    def __init__(self, model: str, step: str) -> None:
        self.sums = Sums()
        self._model, self._step = model, step
        self._unseen: deque[_Passed] = deque()
        self._families: dict[str, Any] = {}
        self._made: dict[tuple[str, ...], Any] = {}
        self._some, self._hurry, self._stopped = threading.Event(), threading.Event(), False
        for outcome in OUTCOMES:  # one that appears with its first failure has not risen for Prometheus
            self._metric(METRICS["requests"], pb_utils.MetricFamily.COUNTER, outcome)
        self._window: Window | None = None
        self._unknown: int | None = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def knows(self, reference: Reference | None, unknown: int | None) -> None:
        """What looks are compared with, and the token that they take for an unknown one."""
        self._window, self._unknown = Window(reference) if reference and _WATCHES else None, unknown

    def counted(self, passed: _Passed | None = None) -> None:
        """There is something to tell, and perhaps to look at."""
        if passed and _WATCHES and self._step in WATCHES:  # what nobody looks at is not kept, as images are not
            self._unseen.append(passed)
            if len(self._unseen) >= _MANY:
                self._hurry.set()
            if len(self._unseen) > _MOST:
                self._look()
        self._some.set()

    def close(self) -> None:
        """Tell the rest."""
        self._stopped = True
        self._hurry.set()
        self._some.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while not self._stopped:
            self._some.wait()
            self._some.clear()
            self._look()
            self._tell()
            due = time.monotonic() + _EVERY
            while not self._stopped and (left := due - time.monotonic()) > 0:
                if self._hurry.wait(left):
                    self._hurry.clear()
                    self._look()
        self._look()
        self._tell()

    def _look(self) -> None:
        while True:
            try:
                passed = self._unseen.popleft()
            except IndexError:  # the other thread may look at the same time
                return
            try:
                watched(self._step, *passed, self.sums, unknown=self._unknown)
            except Exception as error:  # callers have their answers, and what comes next must be counted
                pb_utils.Logger.log_error(_trace_of(error))

    def _tell(self) -> None:
        counted, vectors = self.sums.all_handed_over()
        for (name, part), amount in counted.items():
            if amount:
                self._metric(METRICS[name], pb_utils.MetricFamily.COUNTER, part).increment(amount)
        if self._window and counted:
            try:
                self._tell_drift(self._window, counted, vectors)
            except Exception as error:  # as of a reference that is not this model's; the counts go on
                self._window = None
                pb_utils.Logger.log_error(_trace_of(error))

    def _tell_drift(self, window: Window, counted: Counts, vectors: Any) -> None:
        window.seen(counted, vectors)
        for feature, measure, value, limit in window.drifts():
            for name, told in (("drift", value), ("limit", limit)):
                self._metric(GAUGES[name], pb_utils.MetricFamily.GAUGE, feature, measure=measure).set(told)

    def _metric(self, metric: Metric, kind: Any, part: str, **labels: str) -> Any:
        key = (metric.title, part, *labels.values())
        if key not in self._made:
            if metric.title not in self._families:
                family = pb_utils.MetricFamily(name=metric.title, description=metric.description, kind=kind)
                self._families[metric.title] = family
            labels |= {"model": self._model, **({metric.label: part} if metric.label else {})}
            self._made[key] = self._families[metric.title].Metric(labels=labels)
        return self._made[key]


def _trace_of(error: BaseException) -> str:
    """A traceback as Python prints it, without the errors' own texts: one may repeat what a caller sent."""
    lines: list[str] = []
    while True:
        frames = traceback.format_tb(error.__traceback__)
        lines[:0] = ["Traceback (most recent call last):\n", *frames, f"{type(error).__name__} (its text is not kept)\n"]
        before = error.__cause__ or error.__context__
        if before is None:
            return "".join(lines)
        error = before


def triton_model(step: str) -> type:
    """The class that Triton looks for in a ``model.py``, for the ``STEP`` of one of this package's modules."""

    class TritonPythonModel:
        def initialize(self, args: dict[str, str]) -> None:
            config = json.loads(args["model_config"])
            parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
            folder = Path(args["model_repository"]) / args["model_version"]
            self._inputs = [tensor["name"] for tensor in config["input"]]
            self._telling = _Telling(args["model_name"], step)
            self._journal = Journal.found(args["model_name"], args["model_version"])
            try:
                kind = import_module(f"tritonsmith_steps.{step}").STEP
                os.nice(getattr(kind, "NICE", 0))
                made = kind.load(folder, parameters, self._telling.sums)
                self._telling.knows(reference_in(folder), getattr(made, "unknown", None))
            except Exception as error:
                raise pb_utils.TritonModelException(f"{args['model_name']} cannot start: {error}") from error
            if about := getattr(made, "about", ""):
                pb_utils.Logger.log_info(f"{args['model_name']} {about}")
            self._step = _with_room(made, step, config, args)

        def execute(self, requests: list[Any]) -> list[Any]:
            begin, given, results, passed = time.time_ns(), None, None, None
            try:
                given = [self._arrays(request) for request in requests]
                results = self._step(given)
                passed = _of_callers(requests, given, results)
                outcomes(passed[1], self._telling.sums)
                return [_response(result) for result in results]
            except Exception as error:
                # A fault of ours, not of a caller: the log gets the trace, each caller one line.
                results = None
                self._telling.sums("requests", len(requests), "failed")
                pb_utils.Logger.log_error(_trace_of(error))
                failed = pb_utils.TritonError(
                    f"the {step} step failed; the server's log says why", pb_utils.TritonError.INTERNAL
                )
                return [pb_utils.InferenceResponse(error=failed) for _ in requests]
            finally:
                self._write_down(requests, given, results, begin)
                self._telling.counted(passed)

        def finalize(self) -> None:
            self._telling.close()

        def _write_down(
            self, requests: list[Any], given: list[Arrays] | None, results: list[Result] | None, begin: int
        ) -> None:
            if self._journal is None:
                return
            kept = _callers(requests)
            missed = self._journal(
                [_id_of(requests[index]) for index in kept],
                [given[index] for index in kept] if given else None,
                [results[index] for index in kept] if results else None,
                begin,
                time.time_ns(),
            )
            if missed:
                self._telling.sums("unlogged", missed)

        def _arrays(self, request: Any) -> Arrays:
            """A request's tensors; an optional one that it does not have is left out."""
            found = ((name, pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs)
            return {name: tensor.as_numpy() for name, tensor in found if tensor is not None}

    return TritonPythonModel


def _of_callers(requests: Sequence[Any], given: Sequence[Arrays], results: Sequence[Result]) -> _Passed:
    """What callers asked and got, without the questions of a supervisor, which would be all there is at night."""
    kept = _callers(requests)
    return [given[index] for index in kept], [results[index] for index in kept]


def _callers(requests: Sequence[Any]) -> list[int]:
    return [index for index, request in enumerate(requests) if _id_of(request) != _CANARY]


def _id_of(request: Any) -> str:
    """A request's id; none where a caller's bytes are no text, which must be nobody's fault but his."""
    try:
        name: str = request.request_id()
    except UnicodeDecodeError:
        return ""
    return name


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
