"""Which runtime serves a CPU engine: each that this machine has is gated and timed, the fastest that passes comes first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tritonsmith_steps.cores import cores
from tritonsmith_steps.runtimes import FILE, PLAIN, Choice

from tritonsmith_build.measuring import processor
from tritonsmith_build.proving import Graph
from tritonsmith_build.stagecache import code, digest, versions
from tritonsmith_build.stages.gate import GateError, check
from tritonsmith_build.tables import Precision
from tritonsmith_build.work import Work, figures_in, write_figures

_ANY = (Choice("openvino", "fp32"), PLAIN)
_BF16 = Choice("openvino", "bf16")
CHOICES: dict[Precision, tuple[Choice, ...]] = {
    "fp32": _ANY,
    "fp16": (_BF16, *_ANY),
    "bf16": (_BF16, *_ANY),
    "int8": (_BF16, *_ANY),
}
"""By a spec's precision, what may run its graph. A CPU's 16 bits are BF16; INT8 leaves the rest to what is fastest."""


@dataclass(frozen=True)
class Choosing:
    """Decides on the runtimes of one pipeline's graph."""

    work: Work
    fp32: Graph

    def chosen(self, graph: Graph) -> tuple[Path, list[dict[str, Any]]]:
        """The file that tells the server what to run the graph with, and the table of all that were tried.

        Raises GateError where none passes the gate.
        """
        work, choices = self.work, CHOICES[self.work.spec.engine.precision]
        if "already" in self.fp32.record:
            # Runtimes round INT8 each in its own way, and no FP32 graph says which is nearer: that which it is verified with.
            choices = (PLAIN,)

        def make(folder: Path) -> None:
            from tritonsmith_build.stages.runtimes import tried

            table = tried(work, self.fp32.file, graph.file, choices)
            write_figures(folder / "table.json", table)

        def note(folder: Path) -> str:
            rates = {row["engine"]: row["items_per_s"] for row in figures_in(folder / "table.json") if "items_per_s" in row}
            return ", ".join(f"{engine} {rate:.0f} {work.modality.noun}/s" for engine, rate in rates.items())

        own = code("stages/runtimes.py", "measuring.py", "stages/gate.py")
        key = digest(
            *(own, work.proved_by, graph.key, self.fp32.key, work.gate.key, work.gate_labels, list(map(str, choices))),
            *(versions("onnxruntime"), _machine()),
        )
        table = figures_in(work.stage("engines", key, make, note) / "table.json")
        kept = self._passing(table)
        engines = [asdict(Choice(*row["engine"].split())) for row in kept]
        folder = work.cache.folder("choice", digest(engines), lambda made: write_figures(made / FILE, engines))
        return folder / FILE, table

    def _passing(self, table: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that pass the spec's gate, the fastest first; the others' rows say why they do not."""
        work, failed = self.work, None
        kept = []
        for row in table:
            if "gate" not in row:
                continue
            try:
                check(f"{work.spec.name} on {row['engine']}", work.spec.gate, row["gate"])
            except GateError as error:
                failed, row["failed"] = error, error.what
            else:
                kept.append(row)
        if failed and not kept:
            raise failed
        return sorted(kept, key=lambda row: -float(row["items_per_s"]))


def _machine() -> tuple[str, int, str]:
    """What the speeds depend on."""
    try:
        openvino = metadata.version("openvino")
    except metadata.PackageNotFoundError:
        openvino = "none"
    return processor(), cores(), openvino
