"""Read a model of recordings: its feature extractor, translated to what the first step does and compared with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedConfig
from tritonsmith_steps.waves import VALUES, WaveMaker, WaveSettings, waves_of

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import default_buckets
from tritonsmith_build.modalities.voiced import voiced
from tritonsmith_build.quiet import quiet
from tritonsmith_build.source import ModelSource
from tritonsmith_build.stages.graphs import SELECTS, SoundGraph
from tritonsmith_build.stages.hearing import least_samples
from tritonsmith_build.stages.read import loaded
from tritonsmith_build.tables import SoundSpec
from tritonsmith_build.task import SoundModel, Task

_TRIALS = 5
"""Sounds of as many lengths."""
_NEAR = 1e-4


def model_of_sounds(
    spec: SoundSpec, source: ModelSource, task: Task, folder: Path
) -> tuple[SoundModel[SoundSpec], dict[str, Any]]:
    """The model, and its facts as ``SoundFacts`` has them.

    Raises SmithError for a feature extractor that cannot be translated, and for a model that answers a recording otherwise
    where a longer one stands beside it.
    """
    where, config = f"{spec.file}: source", loaded(transformers.AutoConfig, source, spec)
    extractor = loaded(transformers.AutoFeatureExtractor, source, spec)
    facts = translated(extractor, config, where=where)
    waves = not facts.get("bands")
    _try(task, config, facts, where)
    seconds = spec.input.max_seconds
    facts |= {"max_seconds": seconds, "buckets": (spec.input.buckets or default_buckets(seconds, 1)) if waves else ()}
    return SoundModel(spec, source.folder, config, load=partial(loaded, source=source, spec=spec)), facts


def translated(extractor: Any, config: PreTrainedConfig, *, where: str) -> dict[str, Any]:
    """What a feature extractor does, as the keys of ``WaveSettings``.

    It is tried on sounds of many lengths. Raises SmithError with its name where the step does not do the same.
    """
    name = type(extractor).__name__
    try:
        if name not in EXTRACTORS:
            raise ValueError(f"only {' and '.join(EXTRACTORS)} are known")
        made = {"rate": int(extractor.sampling_rate), **EXTRACTORS[name](extractor, config)}
        difference = _difference(extractor, made)
    except Exception as error:  # one that is not what its name says raises whatever it likes
        raise _refused(name, f"{error}" if isinstance(error, ValueError) else repr(error), where) from None
    if difference > _NEAR:
        raise _refused(name, f"its values differ by {difference:.2g}", where)
    return made


def _refused(name: str, reason: str, where: str) -> SmithError:
    fix = "use a model that takes waves, as wav2vec 2.0, or log mel energies, as the audio spectrogram transformer"
    return SmithError(f"{name} cannot be translated: {reason}", where=where, fix=fix)


def _wave(extractor: Any, config: PreTrainedConfig) -> dict[str, Any]:
    if not getattr(config, "conv_kernel", ()):
        raise ValueError(f"{config.model_type} does not say how it hears waves")
    return {"least": least_samples(config), "zero_mean": bool(extractor.do_normalize)}


def _bands(extractor: Any, config: PreTrainedConfig) -> dict[str, Any]:
    made = {
        "bands": int(extractor.num_mel_bins),
        "frames": int(extractor.max_length),
        "least": extractor.sampling_rate // 40,  # a window
    }
    # Half a unit, not one: Gong, Chung and Glass 2021, section 2.1.
    return {**made, "mean": float(extractor.mean), "std": 2 * float(extractor.std)} if extractor.do_normalize else made


EXTRACTORS: Mapping[str, Callable[[Any, PreTrainedConfig], dict[str, Any]]] = {
    "Wav2Vec2FeatureExtractor": _wave,
    "ASTFeatureExtractor": _bands,
}
"""How each is read."""


def _difference(extractor: Any, made: Mapping[str, Any]) -> float:
    """The greatest one between the extractor's values and the step's."""
    make = WaveMaker(WaveSettings(max_bytes=2**30, max_seconds=2**30, **made))
    greatest = 0.0
    for seed in range(_TRIALS):
        sound = voiced(seed, made["rate"])
        expected = np.asarray(extractor(sound, sampling_rate=made["rate"], return_tensors="np")[VALUES][0])
        values = make(sound)
        if values.shape != expected.shape:
            raise ValueError(f"of {len(sound)} samples it makes {expected.shape}, not {values.shape}")
        greatest = max(greatest, float(np.abs(values - expected).max()))
    return greatest


def _try(task: Task, config: PreTrainedConfig, facts: Mapping[str, Any], where: str) -> None:
    """Whether a model with weights by chance answers recordings of such a form, waves together as apart."""
    with quiet():
        model = getattr(transformers, task.auto_model).from_config(config, attn_implementation="eager").eval()
    sounds = [voiced(seed, facts["rate"]) for seed in (0, 1)]
    heard = [WaveMaker(WaveSettings(max_bytes=2**30, max_seconds=2**30, **facts))(sound) for sound in sounds]
    try:
        with torch.inference_mode():
            apart = [model(torch.from_numpy(one[None])).logits[0] for one in heard]
            if facts.get("bands"):
                return
            batch = {name: torch.from_numpy(array) for name, array in waves_of(heard, max(map(len, heard))).items()}
            together = SoundGraph(model, SELECTS[task.engine_output](None))(**batch)
    except Exception as error:  # an output that has not what the task reads, values of a shape that the model does not take
        what = f"{type(model).__name__} does not answer as its task needs ({error!r})"
        raise SmithError(what, where=where, fix="give a model of another family, or one whose extractor fits it") from None
    pairs = zip(apart, together, strict=True)
    worst = max(float((one - row[: len(one)]).abs().max() / one.abs().max().clamp(min=1e-6)) for one, row in pairs)
    if not worst <= _NEAR:
        what = f"{type(model).__name__} answers a recording otherwise beside a longer one (by {worst:.2g})"
        raise SmithError(what, where=where, fix="give a model of another family: this one's recordings cannot share a batch")
