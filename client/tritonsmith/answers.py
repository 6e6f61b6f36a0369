"""The outputs of a call's requests to what ``transformers.pipeline`` of the task returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith.calls import Arrays, Call

_BEST_ALONE: Any = object()
"""Without ``top_k``, the best class alone stands where a list of classes would."""


def decode_classes(outputs: Sequence[Arrays], call: Call, *, top_k: int | None = _BEST_ALONE) -> Any:
    """``LABEL`` and ``SCORE``, likeliest first, as ``transformers.pipeline("text-classification")`` gives them.

    Without ``top_k`` a list of one dictionary a text, for a single pair that dictionary itself; with it a list of ``top_k``
    dictionaries a text (``None``: all), and for a single text that inner list itself.
    """
    keep = 1 if top_k is _BEST_ALONE else top_k
    rows = [
        [{"label": label.decode(), "score": float(score)} for label, score in zip(labels[:keep], scores[:keep], strict=True)]
        for output in outputs
        for labels, scores in zip(output["LABEL"], output["SCORE"], strict=True)
    ]
    if top_k is _BEST_ALONE:
        return rows[0][0] if call.bare else [row[0] for row in rows]
    return rows[0] if call.single else rows


def decode_top_classes(outputs: Sequence[Arrays], call: Call, *, top_k: int | None = 5) -> Any:
    """As transformers has it for images and recordings: a list of the ``top_k`` likeliest classes an item."""
    return decode_classes(outputs, call, top_k=top_k)


def decode_all_classes(outputs: Sequence[Arrays], call: Call) -> Any:
    """As ``transformers.pipeline("zero-shot-image-classification")``: a list of every label with its score an image."""
    return decode_classes(outputs, call, top_k=None)


def _rows(outputs: Sequence[Arrays], *names: str) -> Iterator[tuple[Any, ...]]:
    """The rows of some tensors, over all requests."""
    for output in outputs:
        yield from zip(*(output[name] for name in names), strict=True)


def decode_json(name: str) -> Callable[..., Any]:
    """For a tensor of one JSON text a row: what stands in it, of a single item by itself."""

    def decode(outputs: Sequence[Arrays], call: Call) -> Any:
        rows = [json.loads(row[0]) for (row,) in _rows(outputs, name)]
        return rows[0] if call.single else rows

    return decode


def decode_zero_shot(outputs: Sequence[Arrays], call: Call) -> Any:
    """``LABEL`` and ``SCORE``, likeliest first: ``sequence``, ``labels`` and ``scores`` a text."""
    texts = [text[0].decode() for (text,) in _rows(call.requests, "TEXT")]
    rows = [
        {"sequence": text, "labels": [label.decode() for label in labels], "scores": scores.tolist()}
        for text, (labels, scores) in zip(texts, _rows(outputs, "LABEL", "SCORE"), strict=True)
    ]
    return rows[0] if call.single else rows


def decode_spans(outputs: Sequence[Arrays], call: Call, *, top_k: int = 1) -> Any:
    """``ANSWERS``: a dictionary a question, or with ``top_k`` above 1 a list of them."""
    rows = [json.loads(row[0]) for (row,) in _rows(outputs, "ANSWERS")]
    if top_k == 1:
        rows = [row[0] if row else {"score": 0.0, "start": 0, "end": 0, "answer": ""} for row in rows]
    return rows[0] if call.single else rows


def decode_tokens(outputs: Sequence[Arrays], call: Call) -> Any:
    """``TOKENS``: a list of tokens a text, or of such lists where it has several masks; of one text alone its list itself."""
    rows = [masks[0] if len(masks) == 1 else masks for masks in (json.loads(row[0]) for (row,) in _rows(outputs, "TOKENS"))]
    return rows[0] if call.single or len(rows) == 1 else rows


def decode_ranking(outputs: Sequence[Arrays], call: Call, *, top_k: int | None = None, return_documents: bool = False) -> Any:
    """``INDEX`` and ``SCORE``, the best first, as ``CrossEncoder.rank`` gives them: ``corpus_id`` and ``score`` a document."""
    found = []
    for (documents,), (indices, scores) in zip(
        _rows(call.requests, "DOCUMENTS"), _rows(outputs, "INDEX", "SCORE"), strict=True
    ):
        best = zip(indices[:top_k].tolist(), scores[:top_k].tolist(), strict=True)
        found.append(
            [
                {"corpus_id": index, "score": score, **({"text": documents[index].decode()} if return_documents else {})}
                for index, score in best
            ]
        )
    return found[0] if call.single else found


def decode_vectors(outputs: Sequence[Arrays], call: Call) -> NDArray[np.float32]:
    """``EMBEDDING`` as float32 ``[n, width]``, also for a single text."""
    return np.concatenate([output["EMBEDDING"] for output in outputs])
