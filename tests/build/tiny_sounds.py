"""Tiny models of recordings with random weights from fixed seeds and real feature extractors, and sounds to ask them about."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
import transformers
from numpy.typing import NDArray
from tiny_models import level
from tritonsmith_build.modalities.voiced import voiced
from tritonsmith_build.quiet import quiet

RATE = 16_000
LABELS = ("speech", "Musik", "雨", "silence", "dog")
TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEÉ", "'")
Sound = NDArray[np.float32]

_NAMED: dict[str, Any] = {"id2label": dict(enumerate(LABELS)), "label2id": {name: at for at, name in enumerate(LABELS)}}
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.25,
}
_WAVES: dict[str, Any] = {
    "conv_dim": (16, 16, 16, 16),
    "conv_kernel": (10, 4, 4, 4),
    "conv_stride": (5, 4, 4, 4),
    "num_feat_extract_layers": 4,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "vocab_size": len(TOKENS),
    "pad_token_id": 0,
}


@dataclass(frozen=True)
class Family:
    """An architecture: its configuration, its feature extractor, the layer before its labels."""

    config: Callable[[], Any]
    extractor: Callable[[], Any]
    head: str = "classifier"


def _wave() -> Any:
    return transformers.Wav2Vec2FeatureExtractor()


FAMILIES = {
    "wav2vec2": Family(lambda: transformers.Wav2Vec2Config(**_SIZES, **_WAVES, **_NAMED, feat_extract_norm="group"), _wave),
    "hubert": Family(
        lambda: transformers.HubertConfig(
            **_SIZES, **_WAVES, **_NAMED, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True
        ),
        _wave,
    ),
    "ast": Family(
        lambda: transformers.ASTConfig(
            **_SIZES, **_NAMED, patch_size=16, frequency_stride=16, time_stride=16, max_length=128, num_mel_bins=64
        ),
        lambda: transformers.ASTFeatureExtractor(max_length=128, num_mel_bins=64, mean=-6.0),
        head="classifier.dense",
    ),
}


def save_sounds(folder: Path, head: str, family: str, *, seed: int = 0) -> Path:
    """A model ``AutoModelFor<head>`` with random weights and what stands before and after it; its answers differ."""
    row = FAMILIES[family]
    transformers.set_seed(seed)
    with quiet():
        model = getattr(transformers, f"AutoModelFor{head}").from_config(row.config()).eval()
        extractor = row.extractor()
        _tell_apart(model, model.get_submodule("lm_head" if head == "CTC" else row.head), extractor)
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
    if head == "CTC":
        save_tokens(folder)
    return folder


def save_tokens(folder: Path, **options: Any) -> None:
    """The tokenizer of ``TOKENS``."""
    (folder / "vocab.json").write_text(json.dumps({token: at for at, token in enumerate(TOKENS)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), **options).save_pretrained(folder)


def _tell_apart(model: Any, layer: Any, extractor: Any) -> None:
    """``level`` the last layer over some sounds."""
    seen: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda layer, given, logits: seen.append(logits.detach()))
    for sound in sounds():
        with torch.inference_mode():
            model(extractor(sound, sampling_rate=RATE, return_tensors="pt")["input_values"])
    handle.remove()
    level(layer, torch.cat([logits.flatten(0, -2) for logits in seen]))


def sounds() -> list[Sound]:
    """Of several lengths, from a fifth of a second on."""
    return [voiced(seed, RATE)[: int(RATE * seconds)] for seed, seconds in enumerate((1, 0.2, 0.7, 2, 1.3, 0.45, 3, 0.9), 60)]


def encoded(sound: NDArray[Any], kind: str = "WAV", rate: int = RATE, subtype: str | None = None) -> bytes:
    """A file."""
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=kind, subtype=subtype)
    return file.getvalue()


def files() -> list[bytes]:
    """The sounds in two formats, and one each of what devices and programs make: other rates, widths and channels."""
    made = [encoded(sound, kind) for sound, kind in zip(sounds(), ["WAV", "FLAC"] * 4, strict=True)]
    sound = sounds()[3]
    both = np.stack([sound, np.roll(sound, 99) * 0.5], axis=1)
    return [
        *made,
        encoded(sound * 3, subtype="FLOAT"),
        encoded(sound * 0.4, subtype="PCM_U8"),
        encoded(both, "FLAC", subtype="PCM_24"),
        encoded(both, "WAVEX", subtype="PCM_16"),
        encoded(soxr.resample(sound, RATE, 8_000), rate=8_000),
        encoded(soxr.resample(sounds()[0], RATE, 44_100), rate=44_100),
        encoded(soxr.resample(sounds()[4], RATE, 96_000), "FLAC", rate=96_000, subtype="PCM_24"),
    ]


def heard(files: Sequence[bytes]) -> list[Sound]:
    """As transformers is given them: one channel at the model's rate."""
    read = [soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True) for file in files]
    return [
        sound.mean(axis=1) if rate == RATE else soxr.resample(sound.mean(axis=1), rate, RATE)
        for sound, rate in read
    ]  # fmt: skip
