"""The ratios that are aimed at, from the medians of one run: absolute figures move with the machine, these should not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from bench.cells import Cell
from bench.medians import Medians
from bench.results import Results, Server

ONE, MANY, MIXED = Cell("short", 1, 1), Cell("short", 1, 32), Cell("mixed", 1, 32)
FP32, BF16, INT8 = "tritonsmith fp32", "tritonsmith bf16", "tritonsmith int8"
ORT_FOLDER = "fastapi_onnxruntime"
Unit = Literal["×", "ms", "%", ""]


@dataclass(frozen=True)
class Ratio:
    """One figure with what it should be: at least ``goal``, or at most where ``at_most``."""

    name: str
    value: float | None
    goal: float
    must: float | None = None
    unit: Unit = "×"
    at_most: bool = False
    beside: str = ""
    """What it was compared with."""
    digits: int = 2

    @property
    def verdict(self) -> str:
        """In words. ``must`` is less than ``goal`` asks."""
        if self.value is None:
            return "not measured"
        if self._holds(self.goal):
            return "reached"
        return "must reached, goal not" if self.must is not None and self._holds(self.must) else "not reached"

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return "" if self.value is None else self._with_unit(self.value)

    @property
    def shown_goal(self) -> str:
        """As ``≥ 0.85 ×``."""
        return self._bound(self.goal)

    @property
    def shown_must(self) -> str:
        """The same, nothing where the goal is all there is."""
        return "" if self.must is None else self._bound(self.must)

    def _holds(self, bound: float) -> bool:
        assert self.value is not None
        return self.value <= bound if self.at_most else self.value >= bound

    def _bound(self, bound: float) -> str:
        return f"{'≤' if self.at_most else '≥'} {self._with_unit(bound)}"

    def _with_unit(self, value: float) -> str:
        return f"{value:.{self.digits}f} {self.unit}".rstrip()


def ratios(results: Results) -> list[Ratio]:
    """All of them, in the page's order."""
    medians = Medians(results)
    return [ratio for part in (_limit, _peers, _own, _footprint) for ratio in part(medians)]


def _limit(medians: Medians) -> Iterator[Ratio]:
    for cell in (MANY, MIXED):
        best, size = medians.limit_best("int8", cell.workload)
        rate, road = _best_of(medians, INT8, cell, "per_second", max)
        about = f"{road}; in process in batches of {size}" if rate and best else ""
        name = f"INT8, {cell.workload}, 32 at once: served ÷ in process"
        yield Ratio(name, _over(rate, best), 0.85, 0.75, beside=about)
    for cell in (ONE, Cell("mixed", 1, 1)):
        alone = medians.limit_p50("int8", cell.workload)
        p50, road = _best_of(medians, INT8, cell, "p50", min)
        value = None if p50 is None or alone is None else p50 - alone
        name = f"INT8, {cell.workload}, one at a time: p50 served − in process"
        yield Ratio(name, value, 1.0, unit="ms", at_most=True, beside=road if value is not None else "")


def _best_of(
    medians: Medians, server: str, cell: Cell, field: str, better: Callable[..., tuple[float, str]]
) -> tuple[float | None, str]:
    found = [(medians.value(server, road, cell, field), road) for road in ("http", "grpc")]
    measured = [(value, road) for value, road in found if value is not None]
    return better(measured) if measured else (None, "")


def _peers(medians: Medians) -> Iterator[Ratio]:
    fp32 = best_peer(medians, lambda server: server.precision == "fp32")
    int8 = best_peer(medians, lambda server: server.precision == "int8" and server.folder == ORT_FOLDER)
    for ours, peer, who, goal, must in (
        (FP32, fp32, "best FP32 peer", 1.15, 1.0),
        (BF16, fp32, "best FP32 peer", 1.8, 1.6),
        (INT8, fp32, "best FP32 peer", 3.0, 2.4),
        (INT8, int8, "FastAPI + ONNX Runtime INT8", 1.7, 1.5),
    ):
        yield _against(medians, ours, peer, who, goal, must)
        if ours == FP32:
            p99, theirs = (medians.value(name, "http", MANY, "p99") if name else None for name in (FP32, peer))
            yield Ratio(
                f"FP32, short, 32 at once, HTTP: p99 ÷ {who}'s",
                _over(p99, theirs),
                1.0,
                at_most=True,
                beside=_title(medians, peer),
            )
    bf16 = [check.mean for check in medians.results.checks if check.server == BF16]
    yield Ratio("BF16: mean cosine to FP32", min(bf16, default=None), 0.9999, unit="", digits=5)


def _against(medians: Medians, ours: str, peer: str | None, who: str, goal: float, must: float) -> Ratio:
    rate, theirs = (medians.value(name, "http", MANY) if name else None for name in (ours, peer))
    value, over_grpc = _over(rate, theirs), _over(medians.value(ours, "grpc", MANY), theirs)
    beside = _title(medians, peer) + (f"; over gRPC {over_grpc:.2f} ×" if over_grpc else "")
    return Ratio(f"{_short(ours)}, short, 32 at once, HTTP: ours ÷ {who}", value, goal, must, beside=beside)


def best_peer(medians: Medians, fits: Callable[[Server], bool]) -> str | None:
    """The fastest at 32 callers with short texts, of those that answered rightly and without errors."""
    rates = {
        server.name: medians.value(server.name, "http", MANY)
        for server in medians.results.servers
        if server.family == "peer" and not server.problem and fits(server)
    }
    clean = {
        name: rate
        for name, rate in rates.items()
        if rate is not None and not sum(row.errors for row in medians.rows(name, "http", MANY))
    }
    return max(clean, key=lambda name: clean[name], default=None)


def _own(medians: Medians) -> Iterator[Ratio]:
    bf16, fp32 = (medians.value(name, "http", MANY) for name in (BF16, FP32))
    yield Ratio("short, 32 at once, HTTP: our BF16 ÷ our FP32", _over(bf16, fp32), 1.7)


def _footprint(medians: Medians) -> Iterator[Ratio]:
    peers = [server.name for server in medians.results.servers if server.family == "peer" and not server.problem]
    for field, what in (("memory_mib", "memory"), ("start_s", "start-up")):
        theirs = [value for name in peers if (value := medians.visit(name, field)) is not None]
        middle = median(theirs) if theirs else None
        yield Ratio(
            f"INT8: {what} ÷ median peer",
            _over(medians.visit(INT8, field), middle),
            1.0,
            at_most=True,
            beside=f"{len(theirs)} peers",
        )
    idle = [value for name in (FP32, BF16, INT8) if (value := medians.visit(name, "idle_percent")) is not None]
    yield Ratio("CPU of a core when idle, the greatest of ours", max(idle, default=None), 1.0, unit="%", at_most=True)


def _over(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


def _title(medians: Medians, name: str | None) -> str:
    return medians.results.server(name).title if name else ""


def _short(name: str) -> str:
    return name.rpartition(" ")[2].upper()
