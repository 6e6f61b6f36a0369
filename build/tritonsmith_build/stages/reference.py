"""What a pipeline's steps see of the data that it was proved on, as its server later compares it with what callers send.

The limits say what chance alone does: how far a window of rows, drawn from what the data stand for, is from the data
themselves. Both are samples, and a limit has the noise of both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.drift import (
    CENTROID,
    ELSE,
    FEATURES,
    FILE,
    LIMITS,
    MEASURES,
    Counts,
    Reference,
    compared,
    rows_in,
    shares,
    shift,
    smoothed,
)
from tritonsmith_steps.meters import Part, Sums
from tritonsmith_steps.runtimes import PLAIN, Run, opened
from tritonsmith_steps.watching import WATCHES, watched

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modalities.texts import TEXTS
from tritonsmith_build.render import Names
from tritonsmith_build.stages.local_steps import LocalSteps
from tritonsmith_build.task import TEXT
from tritonsmith_build.work import Work

_ROWS = 8
_DRAWS, _SEED = 20_000, 0
_RARE = 0.9999
"""A window that has not drifted is beyond a limit once in ten thousand."""
_MEANS = 2_000

Vectors = NDArray[np.float32]


def references(work: Work, fp32: Path, folder: Path) -> None:
    """Write ``STEP/reference.json`` below ``folder`` for the first and the last step of the pipeline.

    It is empty where there is nothing to compare: where the spec's ``drift.watch`` is false, and for what no look is taken
    of. Answers are those of FP32, so that the reference is the same whatever the precision.
    """
    names, window = Names.of(work.spec), work.spec.drift.window
    asked, answered, vectors = Sums(), Sums(), list[Vectors]()
    if work.spec.drift.watch:
        steps = LocalSteps(work, "cpu")
        read = _read(work, steps, asked)
        if work.task.step in WATCHES:
            vectors = _answer(work, steps, opened(PLAIN, fp32), read, answered)
        elif _asked_alone(work):
            deque(read, maxlen=0)  # looked at as they pass
    for model, sums in ((names.first, asked), (names.answer, answered)):
        own = np.concatenate(vectors) if vectors and sums is answered else None
        (folder / model).mkdir()
        (folder / model / FILE).write_text(reference(sums.handed_over(), window, own).text(), encoding="utf-8")


def _answer(work: Work, steps: LocalSteps, run: Run, read: Iterable[Arrays], answered: Sums) -> list[Vectors]:
    """Answer what was read and look at that; the vectors among the answers."""
    names, vectors = Names.of(work.spec), list[Vectors]()
    step, wanted, engine = steps.loaded(names.answer, work.task.step), steps.inputs(names.answer), steps.inputs(names.engine)
    for arrays in read:
        known = {**arrays, work.task.engine_output: run({name: arrays[name] for name in engine})}
        given = {name: known[name] for name in wanted if name in known}
        (made,) = step([given])
        watched(work.task.step, [given], [made], answered)
        if not isinstance(made, ValueError) and "EMBEDDING" in made:
            vectors.append(made["EMBEDDING"])
    return vectors


def _read(work: Work, steps: LocalSteps, asked: Sums) -> Iterator[Arrays]:
    """What the first step makes of the data; texts that are asked alone are looked at as they pass."""
    if not _asked_alone(work):
        yield from work.drift.batches(_ROWS)
        return
    texts = work.drift.texts  # type: ignore[attr-defined]
    first = steps.loaded(Names.of(work.spec).first, work.modality.step)
    for start in range(0, len(texts), _ROWS):
        given = {TEXT.name: np.array([[text.encode()] for text in texts[start : start + _ROWS]], dtype=np.object_)}
        (read,) = first([given])
        if isinstance(read, ValueError):
            raise SmithError(f"a text of the drift's or gate's data cannot be used ({read})", fix="correct the data")
        watched(work.modality.step, [given], [read], asked, unknown=first.unknown)
        yield read


def _asked_alone(work: Work) -> bool:
    """Whether a request is a text a row and nothing besides, as the data is."""
    required = [tensor for tensor in work.task.inputs if not tensor.optional]
    return work.modality is TEXTS and required == [TEXT] and not work.task.spreads


def reference(counted: Counts, window: int, vectors: Vectors | None = None) -> Reference:
    """Of what was counted of some rows, and the vectors ``[n, width]`` that answered them, where they were answered so."""
    rows = rows_in(counted)
    counts = {feature: parts for feature in FEATURES if (parts := shares(counted, feature, rows))}
    limits = {feature: limits_of(parts, window) for feature, parts in counts.items()}
    made = Reference(window, rows, counts, limits)
    if vectors is None:
        return made
    centroid = vectors.mean(axis=0, dtype=np.float64)
    spread = float(np.sqrt(np.square(vectors - centroid).sum(axis=1).mean()))
    whole = Reference(window, rows, counts, limits, np.round(centroid, 6).tolist(), spread)
    return Reference(**{**vars(whole), "limits": {**limits, CENTROID: {"centroid": limit_of_means(vectors, whole)}}})


def limits_of(counts: Mapping[Part, float], window: int) -> dict[str, float]:
    """By measure: how far chance alone takes a window of so many rows, and no less than ``LIMITS`` has."""
    parts = np.array([*(count for part, count in counts.items() if part != ELSE), counts.get(ELSE, 0.0)])
    chance = np.random.default_rng(_SEED)
    # What the rows stand for is known no better than the rows are many: Jeffreys' posterior.
    populations = chance.dirichlet(parts + 0.5, size=_DRAWS)
    windows = smoothed(chance.multinomial(window, populations).astype(np.float64))
    expected, _ = compared(counts, {})
    return {
        measure: round(max(LIMITS[measure], float(np.quantile(of(expected, windows), _RARE))), 4)
        for measure, of in MEASURES.items()
    }


def limit_of_means(vectors: Vectors, known: Reference) -> float:
    """How far chance alone takes a window's mean from that of the data, both drawn from the data again (the bootstrap)."""
    chance, count = np.random.default_rng(_SEED), len(vectors)
    even = np.full(count, 1 / count)
    weights = (chance.multinomial(size, even, size=_MEANS) / size for size in (known.window, count))
    drawn, again = (weight @ (vectors - np.array(known.centroid)) for weight in weights)
    found = [shift(np.array(known.centroid) + difference, known) for difference in drawn - again]
    return round(max(LIMITS["centroid"], float(np.quantile(found, _RARE))), 4)
