"""Keeps a server answering: it watches the steps' processes, asks every pipeline, and mends what is broken."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.endpoints import Status
from tritonsmith_build.server.events import Events
from tritonsmith_build.server.health import get
from tritonsmith_build.server.ladder import Ladder, Limits
from tritonsmith_build.server.preflight import Found
from tritonsmith_build.server.probing import Fault, Probe
from tritonsmith_build.server.process import TritonServer
from tritonsmith_build.server.stopping import StopSignals
from tritonsmith_build.server.stubs import Processes, halted
from tritonsmith_build.server.topology import Pipeline

_TICK = 0.25
_QUICK = 2.0
"""Seconds for what a server answers from memory."""
_UNSURE = 2
"""So many signs in a row make an unsure fault a sure one."""
_SHARE = 0.05
"""Of the time, that questions may take: many pipelines, or slow ones, are asked less often."""
_QUIET = 3
"""So many rounds without a caller's request make a quiet moment."""


@dataclass(frozen=True)
class Rules:
    """How closely a server is watched."""

    every: float = 5.0
    """Seconds between two rounds of questions."""
    timeout: float = 10.0
    """Seconds for one answer."""
    limits: Limits = field(default_factory=Limits)
    heal: bool = True
    """Whether what is found is mended, or only told."""


class Supervisor:
    """Watches one server that is ready.

    ``found`` looks at the repository again before the server is started anew: what was damaged meanwhile is left out.
    ``seen`` hears what it serves.
    """

    def __init__(
        self,
        server: TritonServer,
        probe: Probe,
        rules: Rules,
        events: Events,
        status: Status,
        found: Callable[[], Found],
        seen: Callable[[Sequence[Pipeline]], None],
    ) -> None:
        self._server, self._probe, self._rules, self._found, self._seen = server, probe, rules, found, seen
        self._events, self._status = events, status
        self._ladder = Ladder(rules.limits)
        self._processes = Processes()
        self._pipelines: tuple[Pipeline, ...] = ()
        self._left_out: dict[str, str] = {}
        self._asked: dict[str, tuple[Future[Fault | None], float]] = {}
        self._signs: Counter[str] = Counter()
        self._told: dict[str, Fault] = {}
        self._calls, self._quiet, self._due = 0, 0, 0.0
        self._look()  # everything has just answered

    def run(self, stop: StopSignals) -> None:
        """Return when told to stop, or raise KeyboardInterrupt. Raises SmithError where nothing helps."""
        self._stop = stop
        pool = ThreadPoolExecutor(thread_name_prefix="canary")
        try:
            while not self._server.pause(_TICK, stop, self._processes.descriptors):
                self._status.beat()
                fault = self._fault()
                if fault and self._rules.heal:
                    self._mend(fault)
                    self._look()
                    continue
                if fault:
                    self._tell(fault)
                if time.monotonic() >= self._due and not self._asked:
                    self._refresh()
                    self._look()
                    self._ask(pool)
        finally:
            self._processes.let_go()
            pool.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        """Take stock; questions that are under way say nothing any more."""
        with suppress(SmithError, OSError):  # a server that says nothing is found out by its process, or by the questions
            self._pipelines = self._server.topology(timeout=_QUICK)
        self._seen(self._pipelines)
        self._processes.hold(self._server.pid)
        known = self._status.troubles
        self._status.keep({**{one.name: known.get(one.name, "") for one in self._pipelines}, **self._left_out})
        self._asked.clear()
        self._begun = time.monotonic()
        self._due = self._begun + self._rules.every

    def _ask(self, pool: ThreadPoolExecutor) -> None:
        """Put the questions to every pipeline."""
        self._asked = {one.name: (pool.submit(self._probe, one), time.monotonic()) for one in self._pipelines}

    # What is wrong

    def _fault(self) -> Fault | None:
        if how := self._server.ended:
            return Fault("", (), "ended", how)
        if halted(self._server.pid):
            self._server.kill()
            return Fault("", (), "hung", "Triton was halted by a signal")
        return self._lost() or next(filter(None, self._answers()), None)

    def _lost(self) -> Fault | None:
        """Steps with fewer processes at work than they should have. Of steps that somebody unloads, they end too."""
        if self._processes.changed:
            self._processes.hold(self._server.pid)
        for pipeline in self._pipelines:
            lost = [step.model for step in pipeline.steps if self._processes.working(step.model) < step.processes]
            with suppress(OSError):  # asked again at the next turn
                if models := tuple(model for model in lost if self._server.loaded(model, timeout=_QUICK)):
                    return Fault(pipeline.name, models, "dead", f"a process of {', '.join(models)} has died or hangs")
        return None

    def _answers(self) -> Iterator[Fault | None]:
        """What the questions showed, as far as they are answered."""
        for name, (future, start) in list(self._asked.items()):
            if future.done():
                del self._asked[name]
                fault = future.result()
                self._signs[name] = self._signs[name] + 1 if fault else 0
                if fault is None:
                    self._told.pop(name, None)
                    self._status.set(name, seconds=time.monotonic() - start)
                elif fault.sure or self._signs[name] >= _UNSURE:
                    yield fault
                self._due = self._next_round()

    def _next_round(self) -> float:
        now = time.monotonic()
        if any(self._signs.values()):
            return now  # a sign that is unsure is soon made sure, or not
        return now + max(self._rules.every, (now - self._begun) / _SHARE)

    # What is done about it

    def _tell(self, fault: Fault) -> Sequence[Pipeline]:
        """Say what is wrong, each thing once while it lasts; the pipelines that it is wrong with."""
        touched = self._over(fault.models)
        for pipeline in touched:
            self._status.set(pipeline.name, fault.reason)
        if self._told.get(fault.pipeline) != fault:
            named = [one.name for one in touched]
            self._events("fault", fault.reason, kind=fault.kind, models=fault.models, pipelines=named)
        self._told[fault.pipeline] = fault
        if fault.kind == "ended" and not self._rules.heal:
            raise SmithError(fault.reason, where="Triton", fix="its log says why; serve without --no-heal starts it anew")
        return touched

    def _mend(self, fault: Fault) -> None:
        start = time.monotonic()
        touched = self._tell(fault)
        problem: Fault | None = fault
        while problem:
            measure = self._ladder.measure(problem.models, time.monotonic())
            if measure == "give up":
                self._events("gave-up", f"nothing helps: {problem.reason}")
                fix = "Triton's log says why; a changed repository needs: tritonsmith build PIPELINE"
                raise SmithError(f"restarted too often; at last: {problem.reason}", where=self._server.log or "serve", fix=fix)
            try:
                touched = self._reload(problem.models, touched) if measure == "reload" else self._restart()
                problem = next(filter(None, map(self._probe, touched)), None)
            except SmithError as error:
                problem = Fault(fault.pipeline, (), "silent", str(error))
            if problem:
                self._events("not-healed", f"a {measure} did not help: {problem.reason}", measure=measure)
                problem = replace(problem, models=())  # what has just failed is not tried again
        seconds = round(time.monotonic() - start, 2)
        for pipeline in touched:
            self._status.set(pipeline.name)
        self._status.keep({**self._status.troubles, **self._left_out})
        self._signs.clear()
        self._told.clear()
        self._events("healed", f"answering again after {seconds:g} s ({measure})", measure=measure, seconds=seconds)

    def _over(self, models: tuple[str, ...]) -> Sequence[Pipeline]:
        """The pipelines that these steps stand in, all where none is named."""
        return [one for one in self._pipelines if not models or {step.model for step in one.steps} & {*models}]

    def _reload(self, models: tuple[str, ...], touched: Sequence[Pipeline]) -> Sequence[Pipeline]:
        self._ladder.reloaded(models, time.monotonic())
        self._processes.end(models)
        self._server.reload(models, tuple(dict.fromkeys(name for one in touched for name in one.ensembles)))
        return touched

    def _restart(self) -> Sequence[Pipeline]:
        self._ladder.restarted(time.monotonic())
        self._start_anew()
        return self._pipelines

    def _start_anew(self) -> None:
        found = self._found()
        self._left_out = found.not_ready
        self._server.restart(found.ready)
        self._server.wait_until_ready(stop=self._stop)
        self._pipelines = self._server.topology(timeout=_QUICK)

    def _refresh(self) -> None:
        """Start the server anew where it has lost memory to dead steps, and nobody asks it anything."""
        calls = self._called()
        self._quiet = self._quiet + 1 if calls - self._calls <= len(self._pipelines) else 0
        self._calls = calls
        if self._ladder.leaking and self._quiet >= _QUIET:
            self._ladder.refreshed()
            self._quiet = 0
            self._events("refresh", "starting anew at a quiet moment, to free what died steps have left")
            for pipeline in self._pipelines:
                self._status.set(pipeline.name, "being started anew")
            try:
                self._start_anew()
            except SmithError as error:
                self._mend(Fault("", (), "silent", str(error)))
            for pipeline in self._pipelines:
                self._status.set(pipeline.name)

    def _called(self) -> int:
        """How many requests the pipelines have had; one a round and pipeline is this one's own."""
        with suppress(OSError):
            url = self._server.ports.http_url
            stats = [get(f"{url}/v2/models/{one.name}/stats", timeout=_QUICK)["model_stats"] for one in self._pipelines]
            return sum(
                int(entry["inference_stats"][outcome]["count"])
                for entries in stats
                for entry in entries
                for outcome in ("success", "fail")
            )
        return 0
