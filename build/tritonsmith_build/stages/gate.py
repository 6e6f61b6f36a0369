"""What a build must prove: the engine's answers against FP32's, on real input, within the spec's limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.tables import Gate
from tritonsmith_build.task import Figures as Kind

Outputs = NDArray[np.float32]
Figures = dict[str, float]


def classify_figures(reference: Outputs, candidate: Outputs, labels: Sequence[int], facts: ModelFacts) -> Figures:
    """Share of equal decisions, largest difference of logits, and both accuracies where the items have labels."""
    decided, expected = decisions(candidate, facts), decisions(reference, facts)
    figures = {
        "not_finite": _not_finite(candidate),
        "agreement": float(np.mean(decided == expected)),
        "max_abs_difference": float(np.abs(candidate - reference).max()),
    }
    if labels and decided.ndim == 1:
        figures["accuracy"] = float(np.mean(decided == np.asarray(labels)))
        figures["reference_accuracy"] = float(np.mean(expected == np.asarray(labels)))
        figures["accuracy_drop"] = figures["reference_accuracy"] - figures["accuracy"]
    return figures


def decisions(logits: Outputs, facts: ModelFacts) -> NDArray[Any]:
    """What a caller would read off: the first class, each class's yes or no, or a regression's value in tenths."""
    if facts.activation == "sigmoid":
        return logits > 0
    return np.round(logits, 1) if logits.shape[1] == 1 else logits.argmax(axis=1)


def embed_figures(reference: Outputs, candidate: Outputs, labels: Sequence[int], facts: ModelFacts) -> Figures:
    """Cosine similarity to the reference: mean, first percentile and least."""
    norms = np.linalg.norm(reference, axis=1) * np.linalg.norm(candidate, axis=1)
    cosine = (reference * candidate).sum(axis=1) / np.maximum(norms, 1e-12)
    return {
        "not_finite": _not_finite(candidate),
        "cosine": float(cosine.mean()),
        "cosine_p01": float(np.percentile(cosine, 1)),
        "cosine_least": float(cosine.min()),
    }


def mask_figures(reference: Outputs, candidate: Outputs, labels: Sequence[int], facts: Any) -> Figures:
    """As ``classify_figures``, over the masks that the texts have: rows ``[masks * vocabulary]``, zeros where there is none."""
    masks = [outputs.reshape(len(outputs) * facts.masks, -1) for outputs in (reference, candidate)]
    there = masks[0].any(axis=1)
    return classify_figures(masks[0][there], masks[1][there], [], facts)


def correlation_figures(reference: Outputs, candidate: Outputs, labels: Sequence[int], facts: ModelFacts) -> Figures:
    """Pearson's correlation of the scores, the least of all columns'; what never varies must be equal."""
    figures = {"not_finite": _not_finite(candidate), "max_abs_difference": float(np.abs(candidate - reference).max())}
    each = [
        float(np.corrcoef(wanted, made)[0, 1]) if wanted.std() and made.std() else float(np.allclose(wanted, made))
        for wanted, made in zip(reference.T.astype(np.float64), candidate.T.astype(np.float64), strict=True)
    ]
    return {**figures, "correlation": min(each)}


def _not_finite(outputs: Outputs) -> int:
    """How many rows hold a value that is no number."""
    return int((~np.isfinite(outputs)).any(axis=1).sum())


def box_figures(reference: Outputs, candidate: Outputs, labels: Sequence[int], facts: ModelFacts) -> Figures:
    """Share of places with an equal class, and how far boxes move, relative to the image: the 99th percentile.

    Rows are ``[places, classes + 1 + 4]``, the last class for nothing. Boxes are compared where the reference sees something.
    """
    decided, expected = (rows[:, :-4].argmax(axis=1) for rows in (candidate, reference))
    moved = np.abs(candidate[:, -4:] - reference[:, -4:]).max(axis=1)[expected < reference.shape[1] - 5]
    return {
        "not_finite": _not_finite(candidate),
        "agreement": float(np.mean(decided == expected)),
        "box_shift": float(np.percentile(moved, 99)) if len(moved) else 0.0,
    }


FIGURES: dict[Kind, Callable[[Outputs, Outputs, Sequence[int], ModelFacts], Figures]] = {
    "decisions": classify_figures,
    "masks": mask_figures,
    "cosine": embed_figures,
    "correlation": correlation_figures,
    "boxes": box_figures,
}


class GateError(SmithError):
    """What was built does not answer as the gate demands."""


def check(name: str, gate: Gate, figures: Mapping[str, float]) -> None:
    """Raise GateError with figure, limit and what to try, for the first limit of the gate that does not hold."""
    if figures.get("not_finite"):
        what = f"{figures['not_finite']} of {figures['items']} items are answered with NaN or infinity"
        raise GateError(what, where=f"{name}: gate", fix="nothing was replaced. Try --precision fp32")
    for limit, bound in gate.model_dump(exclude={"data"}).items():
        kind, _, figure = limit.partition("_")
        if figure not in figures:
            continue
        value = figures[figure]
        held = value >= bound if kind == "min" else value <= bound
        if not held or not np.isfinite(value):
            raise GateError(
                f"{figure} is {value:.4f} on {figures['items']} items, the spec's gate.{limit} is {bound}",
                where=f"{name}: gate",
                fix=(
                    "nothing was replaced. Try --precision fp32, calibration.data nearer to your own, "
                    f"or, if you can live with it, another gate.{limit}"
                ),
            )
