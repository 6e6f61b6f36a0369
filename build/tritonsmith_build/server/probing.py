"""Whether a pipeline still answers, and rightly: its ensemble is asked what no cache knows, each step what its build asked."""

from __future__ import annotations

import urllib.error
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.canary import Canary, canary_file
from tritonsmith_build.server.health import get, question, said
from tritonsmith_build.server.topology import Pipeline, Step
from tritonsmith_build.server.wire import infer

_UNAVAILABLE = 503
"""A full queue or a wait that was too long: who is that busy is not dead."""
_OURS = 500
"""Triton's status where a step fails by no fault of the request's."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a pipeline."""

    pipeline: str
    models: tuple[str, ...]
    """The steps at fault; none where it is not known which."""
    kind: str
    """``dead``, ``hung``, ``wrong`` or ``silent``."""
    reason: str
    sure: bool = True
    """Whether one sign is enough; a busy server, or one that is being changed, may look like this for a moment."""


@dataclass(frozen=True)
class Probe:
    """Asks a server's pipelines."""

    url: str
    repository: Path
    target: str
    timeout: float
    """Seconds for one answer."""

    def __call__(self, pipeline: Pipeline) -> Fault | None:
        """The first fault that is found: a step's before the whole's, which does not say where it is."""
        return next(self._of_steps(pipeline), None) or self._of_whole(pipeline)

    def _of_steps(self, pipeline: Pipeline) -> Iterator[Fault]:
        for step in pipeline.steps:
            if (canary := self._canary(step)) and (fault := self._of_step(pipeline, step, canary)):
                yield fault

    def _canary(self, step: Step) -> Canary | None:
        """None where the build left none, as builds of before did and the steps between joined parts do."""
        file = self.repository / step.model / str(step.version) / canary_file(self.target)
        return _read(file, file.stat().st_mtime_ns) if file.is_file() else None

    def _of_step(self, pipeline: Pipeline, step: Step, canary: Canary) -> Fault | None:
        def fault(kind: str, reason: str, *, sure: bool = True) -> Fault:
            return Fault(pipeline.name, (step.model,), kind, f"{step.model} {reason}", sure)

        before = self._answered(step.model, step.version)
        try:
            answer = infer(self.url, step.model, canary.inputs, version=step.version, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code == _UNAVAILABLE:
                return None
            return fault("dead", f"fails: {said(error)}", sure=error.code == _OURS)
        except TimeoutError:
            moved = before is not None and self._answered(step.model, step.version) != before
            # Not sure: one large batch may take as long.
            return None if moved else fault("hung", f"has answered nothing for {self.timeout:g} s", sure=False)
        except OSError as error:
            return Fault(pipeline.name, (), "silent", f"the server does not answer ({error})", sure=False)
        differs = canary.differs(answer)
        return fault("wrong", differs) if differs else None

    def _answered(self, model: str, version: int | None = None) -> Any:
        """How many requests a model has been through, None where Triton does not say."""
        of_version = f"/versions/{version}" if version else ""
        try:
            about = get(f"{self.url}/v2/models/{model}{of_version}/stats", timeout=self.timeout)
        except OSError:
            return None
        return [entry["inference_stats"][outcome]["count"] for entry in about["model_stats"] for outcome in ("success", "fail")]

    def _of_whole(self, pipeline: Pipeline) -> Fault | None:
        before = self._answered(pipeline.name)
        try:
            answer = infer(self.url, pipeline.name, question(pipeline.config, unique=uuid.uuid4().bytes), timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code == _UNAVAILABLE:
                return None
            return Fault(pipeline.name, (), "silent", f"{pipeline.name} fails: {said(error)}", sure=False)
        except OSError as error:
            if isinstance(error, TimeoutError) and before is not None and self._answered(pipeline.name) != before:
                return None  # others are answered; its turn did not come in time
            return Fault(pipeline.name, (), "silent", f"{pipeline.name} does not answer ({error})", sure=False)
        return None if answer else Fault(pipeline.name, (), "silent", f"{pipeline.name} answers nothing")


@lru_cache(maxsize=256)
def _read(file: Path, written: int) -> Canary | None:
    """Read once for every time it was ``written``. One that cannot be read asks nothing: what is served is not to blame."""
    try:
        return Canary.read(file)
    except SmithError:
        return None
