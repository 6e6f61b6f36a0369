"""The graph of a precision: made by a route, gated against FP32 on a CPU, with as little left out as the gate allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith_build.origin import stage_function
from tritonsmith_build.outputs import run_all
from tritonsmith_build.stagecache import code, digest, versions
from tritonsmith_build.stages.gate import GateError, check
from tritonsmith_build.targets import Route
from tritonsmith_build.work import Work, figures_in, megabytes, write_figures

_GATE_ROWS = 8
_WORST_SHAPE = 0.5
"""Relative to FP32's answers: in one shape alone half wrong is broken, though the gate's data is of other shapes."""


@dataclass(frozen=True)
class Graph:
    """An ONNX file and what is known of it."""

    file: Path
    key: str
    record: dict[str, Any]
    """What the manifest says of it."""


@dataclass(frozen=True)
class Proving:
    """Makes a precision's graph from the FP32 one and proves it."""

    work: Work
    fp32: Graph

    def proved(self, routes: Sequence[Route]) -> Graph:
        """The first graph that passes the gate, with its figures. Raises GateError where none does."""
        if not routes:
            return replace(self.fp32, record={"weights": {"float": 1.0}, **self.fp32.record, "gate": self._gated(self.fp32)})
        for route in routes:
            converted = self._converted(route)
            try:
                if route.searched:
                    return self._searched(route, converted)
                return self._passing(route, converted)
            except GateError as error:
                failed = error
                left_out = route.leave_out or "nothing"
                self.work.progress.say(f"{self.work.spec.name}: with {left_out} not quantized, {failed.what}")
        raise failed

    def _passing(self, route: Route, graph: Graph) -> Graph:
        gated = self._gated(graph, simulated=route.simulated)
        shapes = {"shapes": self._shapes(graph)} if route.simulated else {}
        return replace(graph, record={**graph.record, **shapes, "gate": gated})

    def _converted(self, route: Route) -> Graph:
        work = self.work

        def make(folder: Path) -> None:
            convert = stage_function(route.function)
            data = list(work.calibration.batches(1))
            convert(self.fp32.file, folder / "model.onnx", data, leave_out=route.leave_out)
            _write_shares(folder)

        own = code(*route.code, "stages/proof.py")
        made_by = (route.function, route.leave_out, versions(*route.packages))
        key = digest(own, work.proved_by, self.fp32.key, work.calibration.key, made_by)
        folder = work.stage(work.spec.engine.precision, key, make, _shares)
        left_out = {"not_quantized": [route.leave_out]} if route.leave_out else {}
        return Graph(folder / "model.onnx", key, {"weights": figures_in(folder / "weights.json"), **left_out})

    def _searched(self, route: Route, quantized: Graph) -> Graph:
        """The first of ever smaller sets of quantized products that passes the gate, found by halving."""
        table, candidates = self._search(quantized)
        passing: Graph | None = None
        low, high = 0, len(candidates)
        while low < high:
            middle = (low + high) // 2
            graph = self._without(quantized, candidates[middle])
            try:
                passing, high = self._passing(route, graph), middle
            except GateError as error:
                failed, low = error, middle + 1
        if passing is None:
            raise failed
        return replace(passing, record={**passing.record, "search": table})

    def _search(self, quantized: Graph) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Each group's harm, and what to leave out in turn."""
        work = self.work

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.sensitivity import search

            data = list(work.calibration.batches(1))
            found = search(self.fp32.file, quantized.file, data)
            candidates = [{"left_out": list(one.left_out), "products": sorted(one.products)} for one in found.candidates]
            write_figures(folder / "search.json", {"table": found.table, "candidates": candidates})

        def note(folder: Path) -> str:
            table = figures_in(folder / "search.json")["table"]
            return f"{len(table)} groups of products; INT8 harms {table[0]['group']} most"

        own = code("stages/sensitivity.py", "stages/product_groups.py", "stages/dequantized.py")
        key = digest(own, work.proved_by, quantized.key, versions("onnx", "onnxruntime"))
        found = figures_in(work.stage("search", key, make, note) / "search.json")
        return found["table"], found["candidates"]

    def _without(self, quantized: Graph, candidate: dict[str, Any]) -> Graph:
        def make(folder: Path) -> None:
            from tritonsmith_build.stages.dequantized import without

            without(quantized.file, folder / "model.onnx", candidate["products"])
            _write_shares(folder)

        key = digest(code("stages/dequantized.py", "stages/proof.py"), quantized.key, candidate["products"])
        folder = self.work.stage("left out", key, make, _shares)
        record = {"weights": figures_in(folder / "weights.json"), "not_quantized": candidate["left_out"]}
        return Graph(folder / "model.onnx", key, record)

    def _gated(self, graph: Graph, *, simulated: bool = False) -> dict[str, Any]:
        """The gate's figures. Raises GateError where they do not hold."""
        work, labels = self.work, self.work.gate_labels

        def make(folder: Path) -> None:
            from tritonsmith_steps.runtimes import session_from_file

            from tritonsmith_build.stages.gate import FIGURES

            def outputs(file: Path) -> Any:
                session = session_from_file(file, as_written=simulated)
                return run_all(session, work.gate.batches(_GATE_ROWS))

            reference = outputs(self.fp32.file)
            candidate = reference if graph.file == self.fp32.file else outputs(_run_as(graph.file, folder, simulated))
            figures = FIGURES[work.task.figures](reference, candidate, labels, work.facts)
            write_figures(folder / "gate.json", {"items": len(work.gate), **figures})

        def note(folder: Path) -> str:
            figures = figures_in(folder / "gate.json")
            shown = [f"{name} {value:.4f}" for name, value in figures.items() if name in ("agreement", "accuracy", "cosine")]
            return f"{', '.join(shown)} on {figures['items']} {work.modality.noun}"

        own = code("stages/gate.py", "stages/simulate.py")
        key = digest(own, work.proved_by, graph.key, self.fp32.key, versions("onnxruntime"), work.gate.key, labels, simulated)
        figures: dict[str, Any] = figures_in(work.stage("gate", key, make, note) / "gate.json")
        check(work.spec.name, work.spec.gate, figures)
        return figures

    def _shapes(self, graph: Graph) -> list[dict[str, Any]]:
        """The graph against FP32 in every shape, alone and in a full batch. Raises GateError where an answer is no number."""
        work, rows = self.work, self.work.spec.engine.max_batch_size

        def make(folder: Path) -> None:
            from tritonsmith_steps.runtimes import session_from_file

            from tritonsmith_build.stages.shapes import answer_of, compare_shapes

            files = self.fp32.file, _run_as(graph.file, folder, True)
            reference, candidate = (answer_of(session_from_file(file, as_written=True)) for file in files)
            shapes = work.modality.shapes(work.facts)
            compared = compare_shapes(reference, candidate, work.gate, shapes, max_batch_size=rows)
            write_figures(folder / "shapes.json", compared)

        def note(folder: Path) -> str:
            figures = figures_in(folder / "shapes.json")
            worst = max(row["relative_difference"] for row in figures)
            return f"differs from FP32 by at most {worst:.1%} in {len(figures)} shapes"

        own = code("stages/shapes.py", "stages/simulate.py")
        key = digest(own, work.proved_by, graph.key, self.fp32.key, versions("onnxruntime"), work.gate.key, rows)
        figures: list[dict[str, Any]] = figures_in(work.stage("shapes", key, make, note) / "shapes.json")
        for row in figures:
            _check_shape(work.spec.name, row)
        return figures


def _check_shape(name: str, row: dict[str, Any]) -> None:
    shape, fix = f"{row['rows']} x {row['shape']}", "nothing was replaced. Try --precision bf16 or fp32"
    if row["not_finite"]:
        what = f"{row['not_finite']} rows of {shape} are answered with NaN or infinity"
        raise GateError(what, where=f"{name}: shapes", fix=fix)
    if row["relative_difference"] > _WORST_SHAPE:
        what = f"{shape} are answered {row['relative_difference']:.0%} off FP32's answers"
        raise GateError(what, where=f"{name}: shapes", fix=fix)


def _run_as(file: Path, folder: Path, simulated: bool) -> Path:
    """What ONNX Runtime is to run for a graph: one in 16 bits shows its roundings only where they are spelled out."""
    if not simulated:
        return file
    from tritonsmith_build.stages.simulate import simulate

    simulate(file, folder / "simulated.onnx")
    return folder / "simulated.onnx"


def _write_shares(folder: Path) -> None:
    from tritonsmith_build.stages.proof import weight_shares

    write_figures(folder / "weights.json", weight_shares(folder / "model.onnx"))


def _shares(folder: Path) -> str:
    shares = ", ".join(f"{share:.0%} {kind}" for kind, share in figures_in(folder / "weights.json").items())
    return f"{megabytes('model.onnx')(folder)}, products {shares}"
