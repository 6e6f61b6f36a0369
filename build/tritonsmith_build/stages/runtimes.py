"""Each runtime that this machine has, gated and timed as the server would use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.runtimes import PLAIN, Choice, Run, UnavailableError, opened

from tritonsmith_build.measuring import median_seconds
from tritonsmith_build.outputs import counted
from tritonsmith_build.stages.gate import FIGURES
from tritonsmith_build.tasks import TASKS
from tritonsmith_build.work import Work

_ROWS = (1, 8)


def tried(work: Work, fp32: Path, file: Path, choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """A row a choice: ``engine``, and its ``gate`` figures, ``items_per_s`` and the items a second in batches of each of
    ``_ROWS``; or ``unavailable``, what this machine lacks for it.

    ``items_per_s`` counts a text, say, alone and one in a batch alike: it is the harmonic mean.
    """
    gate, timed = list(work.gate.batches(max(_ROWS))), work.gate.first(work.modality.timed)
    data = {rows: list(timed.batches(rows)) for rows in _ROWS}
    expected = _answers(opened(PLAIN, fp32), gate)
    rows = []
    for choice in choices:
        try:
            rows.append({"engine": str(choice), **_measured(choice, file, work, gate, expected, data)})
        except UnavailableError as error:
            rows.append({"engine": str(choice), "unavailable": str(error)})
    return rows


def _measured(
    choice: Choice, file: Path, work: Work, gate: Sequence[Arrays], expected: Any, data: Mapping[int, Sequence[Arrays]]
) -> dict[str, Any]:
    """A choice's figures. Its engine is gone when this returns.

    OpenVINO gives a thread that uses AMX a signal stack, and takes it away with the engine; of two engines that overlap, the
    later one would restore the earlier one's stack, which is no more, and the next signal would end the process.
    """
    run = opened(choice, file)
    figures = FIGURES[TASKS[work.spec.task].figures](expected, _answers(run, gate), work.gate_labels, work.facts)
    seconds = {rows: median_seconds(run, batched) for rows, batched in data.items()}
    items = {rows: sum(len(next(iter(batch.values()))) for batch in batched) for rows, batched in data.items()}
    return {
        "gate": {"items": len(work.gate), **figures},
        "items_per_s": round(sum(items.values()) / sum(seconds.values()), 1),
        **{f"items_per_s_in_{rows}": round(items[rows] / taken, 1) for rows, taken in seconds.items()},
    }


def _answers(run: Run, data: Sequence[Arrays]) -> Any:
    return np.concatenate([counted(run(batch), batch) for batch in data])
