"""The rounds: every contender is visited once in each, one at a time, in an order that changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.progress import Progress, TaskID
from tritonsmith_build.errors import SmithError

from bench import grpc_load, limit, wrk
from bench.bodies import write_bodies
from bench.cells import Cell, Workload, workloads_of
from bench.checking import Sample
from bench.contenders import Contender, Entry, InProcess
from bench.counters import cache_counts
from bench.footprint import idle_percent, memory_mib, processes
from bench.places import BODIES, LOGS, slug
from bench.results import Check, Limit, Measured, Results, Visit
from bench.roads import Road
from bench.servers import Live
from bench.waiting import settled
from bench.workloads import in_batches
from bench.wrk import Load

WARM_UP_CONCURRENCY, WARM_UP_SECONDS = 32, 3
IDLE_SECONDS = 5.0
FEWEST, LONGER = 5, 8
"""A cell with fewer answers than that is measured again for so much longer."""
WIDTH_BYTES = 384 * 4
"""Of one vector: an answer of fewer bytes is none."""
Item = TypeVar("Item")
Texts = Mapping[Workload, Sequence[str]]


def in_order(entries: Sequence[Item], number: int) -> list[Item]:
    """Each round begins with another entry, and every second one goes backwards: no one is always measured after the same.

    >>> in_order("abc", 0), in_order("abc", 1), in_order("abc", 2)
    (['a', 'b', 'c'], ['a', 'c', 'b'], ['c', 'a', 'b'])
    """
    start = number % len(entries) if entries else 0
    turned = [*entries[start:], *entries[:start]]
    return turned[::-1] if number % 2 else turned


@dataclass
class Rows:
    """What one visit adds to the results, all of it or nothing."""

    visit: Visit
    checks: list[Check] = field(default_factory=list)
    loads: list[Measured] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)

    def add_to(self, results: Results) -> None:
        """Checks replace those of an earlier round where they are worse."""
        results.visits.append(self.visit)
        results.loads += self.loads
        results.limits += self.limits
        for check in self.checks:
            before = [old for old in results.checks if (old.server, old.road) == (check.server, check.road)]
            if all(check.least < old.least for old in before):
                results.checks = [old for old in results.checks if old not in before] + [check]


@dataclass
class Bench:
    """Runs what is left to do of ``results`` and keeps it up to date; ``keep`` is called after every visit."""

    results: Results
    texts: Texts
    sample: Sample
    bars: Progress
    keep: Callable[[Results], None]
    settle: bool = True
    idle: bool = True
    _now: tuple[TaskID, str] = (TaskID(0), "")

    def run(self, entries: Sequence[Entry]) -> None:
        """All rounds. A contender with a problem is not visited again."""
        settings, done = self.results.settings, {(visit.server, visit.round) for visit in self.results.visits}
        plan = [
            (number, entry)
            for number in range(settings.rounds)
            for entry in in_order(entries, number)
            if (entry.name, number) not in done
        ]
        estimate = sum(entry.estimate(settings.seconds) for _, entry in plan)
        task = self.bars.add_task("", total=estimate)
        self.bars.console.print(f"{len(plan)} visits, about {estimate / 60:.0f} minutes", highlight=False)
        for number, entry in plan:
            begun = time.monotonic()
            self._now = (task, f"round {number + 1} of {settings.rounds}: {entry.name}")
            self._say("")
            self._visit(entry, number)
            self.results.duration_s = round(self.results.duration_s + time.monotonic() - begun, 1)
            self.bars.advance(task, entry.estimate(settings.seconds))
            self.keep(self.results)

    def _say(self, what: str) -> None:
        task, entry = self._now
        self.bars.update(task, description=f"{entry} {what}")

    def _visit(self, entry: Entry, number: int) -> None:
        if isinstance(entry, InProcess):
            self._in_process(entry, number).add_to(self.results)
            return
        server = self.results.server(entry.name)
        if server.problem:
            return
        try:
            self._served(entry, number).add_to(self.results)
        except SmithError as error:
            server.problem = str(error)
            self.bars.console.print(f"{entry.name}: {error}", highlight=False, soft_wrap=True, markup=False)

    def _begun(self, name: str, number: int) -> Rows:
        return Rows(Visit(server=name, round=number, busy_before=round(settled(), 1) if self.settle else 0.0))

    def _in_process(self, entry: InProcess, number: int) -> Rows:
        rows = self._begun(entry.name, number)
        texts: dict[str, Sequence[str]] = {workload: self.texts[workload] for workload in entry.workloads}
        for row in limit.run(entry.repository, texts, seconds=entry.seconds):
            rows.limits.append(Limit(precision=entry.precision, round=number, **row))
        return rows

    def _served(self, entry: Contender, number: int) -> Rows:
        rows = self._begun(entry.name, number)
        with entry.start(LOGS / f"{slug(entry.name)}.log") as live:
            first = live.roads[next(iter(entry.roads))]
            if not self.sample.right(first):
                raise SmithError("wrong: the first answer")
            rows.visit.start_s = round(time.perf_counter() - live.begun, 2)
            self.results.server(entry.name).versions.update(live.facts)
            for road in entry.roads:
                self._say(f"{road}: answers")
                found = self.sample.checked(live.roads[road])
                rows.checks.append(Check(server=entry.name, road=road, **asdict(found)))
            self._say("warms up")
            for workload in workloads_of(cell for cells in entry.roads.values() for cell in cells):
                if workload != "zipf":  # whose texts the cache must not know
                    self._load(first, Cell(workload, 1, WARM_UP_CONCURRENCY), WARM_UP_SECONDS)
            for road, cells in entry.roads.items():
                rows.loads += [self._measured(entry.name, live, road, cell, number) for cell in cells]
            rows.visit.memory_mib = round(memory_mib(processes(live.process.pid, live.mark)), 1)
            if self.idle and number == 0:
                self._say("idle")
                rows.visit.idle_percent = round(idle_percent(processes(live.process.pid, live.mark), IDLE_SECONDS), 2)
        return rows

    def _measured(self, name: str, live: Live, road: str, cell: Cell, number: int) -> Measured:
        self._say(f"{road}: {cell}")
        seconds = self.results.settings.seconds
        before = cache_counts(live.metrics)
        load = self._load(live.roads[road], cell, seconds)
        if load.requests < FEWEST and not load.errors:
            load = self._load(live.roads[road], cell, LONGER * seconds)
        after = cache_counts(live.metrics)
        if load.requests == 0:
            raise SmithError(f"answered nothing in time: {road}, {cell}")
        hits, misses = (after[key] - before[key] for key in ("hits", "misses"))
        return Measured(
            server=name,
            road=road,
            round=number,
            **asdict(cell),
            per_second=round(load.per_second, 2),
            hits=round(hits / (hits + misses), 4) if hits + misses else None,
            **asdict(load),
        )

    def _load(self, road: Road, cell: Cell, seconds: int) -> Load:
        file = BODIES / f"{slug(str(cell))}-{road.protocol}.bodies"
        write_for(road, self.texts[cell.workload], cell.rows, file)
        if road.protocol == "grpc":
            return grpc_load.run(
                road.host, file, concurrency=cell.concurrency, seconds=seconds, answer_bytes=cell.rows * WIDTH_BYTES
            )
        return wrk.run(road.url, file, concurrency=cell.concurrency, seconds=seconds)


def write_for(road: Road, texts: Sequence[str], rows: int, file: Path) -> None:
    """The texts as requests of one road, in their order. Equal texts are encoded once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    requests = [tuple(batch) for batch in in_batches(texts, rows)]
    encoded = {batch: road.encode(batch) for batch in set(requests)}
    write_bodies(file, (encoded[batch] for batch in requests))
