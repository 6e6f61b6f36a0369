"""Texts: tokenized by the first step, in rows of any length or in buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.tokenize import Padding, Tokenize, TokenizeSettings

from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import Examples, examples_from_file
from tritonsmith_build.facts import TextFacts
from tritonsmith_build.modality import Axis, Modality, Purpose, Shape
from tritonsmith_build.tables import PipelineSpec

if TYPE_CHECKING:
    import torch

    from tritonsmith_build.task import Task

_CALIBRATION_TEXTS = 256
_JOINED = 40
"""Texts that are put together to one that fills every bucket."""


@dataclass(frozen=True)
class Texts:
    """Real texts, tokenized as the served step does it."""

    tokenizer: Path
    settings: TokenizeSettings
    texts: Sequence[str]
    labels: Sequence[str] = ()

    @property
    def key(self) -> Any:
        """The texts; settings and tokenizer are the model's."""
        return list(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> Texts:
        """So many of them at most."""
        return replace(self, texts=self.texts[:count], labels=self.labels[:count])

    def batches(self, rows: int, *, as_on_gpu: bool = False) -> Iterator[Arrays]:
        """Consecutive texts; a batch is as long as its longest row, ``as_on_gpu`` as the next bucket."""
        return self._batches(self.settings, self.texts, rows, "bucket" if as_on_gpu else "longest")

    def at(self, rows: int, shape: Shape, *, blank: bool = False) -> Arrays:
        """A batch of short texts and full rows by turns."""
        (length,) = next(iter(shape.dims.values()))
        # What callers may send is no limit here: full rows are made of many texts.
        settings = replace(self.settings, max_length=length, buckets=(length,), max_bytes=2**30)
        (batch,) = self._batches(settings, mixed_lengths(self.texts, rows), rows, "bucket")
        if blank:
            for name, array in batch.items():
                array[-1] = settings.pad.get(name, 0)
        return batch

    def _batches(self, settings: TokenizeSettings, texts: Sequence[str], rows: int, padding: Padding) -> Iterator[Arrays]:
        # The engine's inputs alone, of texts one by one, however the task asks.
        settings = replace(settings, beside=(), reads="readers.texts", cut="longest_first", stride=0)
        step = Tokenize(Tokenizer.from_file(str(self.tokenizer)), settings, padding=padding, count=lambda name, amount: None)
        for start in range(0, len(texts), rows):
            column = np.array([[text.encode()] for text in texts[start : start + rows]], dtype=np.object_)
            (result,) = step([{"TEXT": column}])
            if isinstance(result, ValueError):
                raise SmithError(f"a text of the gate or calibration data cannot be used ({result})", fix="correct the data")
            yield result


def mixed_lengths(texts: Sequence[str], rows: int) -> list[str]:
    """``rows`` texts, by turns one joined from many and one as it is, so that a batch holds padding and full rows."""
    cycled = [texts[index % len(texts)] for index in range(rows + _JOINED)]
    return [" ".join(cycled[row : row + _JOINED]) if row % 2 == 0 else cycled[row] for row in range(rows)]


def _samples(spec: PipelineSpec, facts: TextFacts, task: Task, folder: Path, purpose: Purpose) -> Texts:
    """The spec's own texts for ``gate`` or ``calibration``, or those that this package brings for specs that name none.

    Where the model fills in masks, the word in the middle of each is one.
    """
    examples = _examples(spec, getattr(spec, purpose).data, f"{purpose}.txt")
    texts = [_with_mask(text, facts.mask_token) for text in examples.texts] if facts.mask_token else examples.texts
    made = Texts(folder / "tokenizer.json", _settings(spec, facts, task), texts, examples.labels)
    return made.first(_CALIBRATION_TEXTS) if purpose == "calibration" else made


def _examples(spec: PipelineSpec, data: Path | None, default: str) -> Examples:
    if data is not None:
        return examples_from_file(spec.beside(data))
    with resources.as_file(resources.files("tritonsmith_build") / "data" / default) as file:
        return examples_from_file(file)


def _with_mask(text: str, mask: str) -> str:
    words = text.split()
    words[len(words) // 2] = mask
    return " ".join(words)


def _settings(spec: PipelineSpec, facts: TextFacts, task: Task) -> TokenizeSettings:
    """For the tokenizing step, and for the build, which tokenizes exactly as serving does."""
    return TokenizeSettings(
        inputs=facts.inputs,
        max_length=facts.max_length,
        buckets=facts.buckets,
        max_bytes=spec.input.max_bytes,
        pad={"input_ids": facts.pad_id, "token_type_ids": facts.pad_type_id},
        truncation_side=facts.truncation_side,
        beside=tuple(tensor.name for tensor in task.beside(facts)),
        reads=task.reads,
        cut=task.cut,
        stride=facts.stride,
        prompts=facts.prompts,
        prompt=facts.prompt,
    )


def _axes(facts: TextFacts) -> Mapping[str, tuple[Axis | int, ...]]:
    sequence = Axis("sequence", 1, facts.max_length, example=min(8, facts.max_length))
    return dict.fromkeys(facts.inputs, (sequence,))


def _shapes(facts: TextFacts) -> Sequence[Shape]:
    """A bucket each."""
    return [Shape(f"{length} tokens", dict.fromkeys(facts.inputs, (length,))) for length in facts.buckets]


def _padding(facts: TextFacts) -> Mapping[str, int]:
    fills = {"input_ids": facts.pad_id, "attention_mask": 0, "token_type_ids": facts.pad_type_id}
    return {name: fills[name] for name in facts.inputs}


def _graph(model: torch.nn.Module, select: Any, facts: TextFacts) -> torch.nn.Module:
    from tritonsmith_build.stages.graphs import TextGraph

    return TextGraph(model, select, fill=facts.fill, pad_id=facts.pad_id)


TEXTS = Modality(
    noun="texts",
    step="tokenize",
    facts=TextFacts,
    reads="read_texts:model_of_texts",
    reads_graph="own_read:graph_of_texts",
    code=("modalities/texts.py", "examples.py"),
    steps=("items.py", "readers.py", "tokenize.py"),
    files=("tokenizer.json",),
    dtypes=dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), "TYPE_INT32"),
    axes=_axes,
    shapes=_shapes,
    padding=_padding,
    settings=_settings,
    parameters={"": {"padding": "bucket"}, "cpu": {"padding": "longest"}},
    cuts=lambda facts: not facts.stride,
    timed=48,
    samples=_samples,
    graph=_graph,
)
