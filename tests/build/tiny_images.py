"""Tiny models of images with random weights from fixed seeds and real processors, and images to ask them about."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tiny_models import level
from tritonsmith_build.modalities.drawn import drawn
from tritonsmith_build.quiet import quiet

LABELS = ("cat", "Hund", "鳥", "tree", "sky")
_NAMED: dict[str, Any] = {"id2label": dict(enumerate(LABELS)), "label2id": {name: at for at, name in enumerate(LABELS)}}
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.25,
}
_PATCHES: dict[str, Any] = {"image_size": 32, "patch_size": 8}
_GRID: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_SIDES = {"shortest_edge": 64, "longest_edge": 128}


def _detr() -> Any:
    backbone = transformers.ResNetConfig(**_GRID, embedding_size=8, layer_type="basic", out_features=["stage4"])
    sizes: dict[str, Any] = {
        f"{part}_{what}": value
        for part in ("encoder", "decoder")
        for what, value in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 48))
    }
    backs: dict[str, Any] = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    return transformers.DetrConfig(
        **sizes, **backs, backbone_config=backbone, d_model=32, num_queries=12, init_std=0.3, **_NAMED
    )


def _yolos() -> Any:
    places: dict[str, Any] = {"image_size": [64, 96], "patch_size": 16, "num_detection_tokens": 12}
    return transformers.YolosConfig(**_SIZES, **places, use_mid_position_embeddings=True, **_NAMED)


def _swin() -> Any:
    sizes: dict[str, Any] = {"embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4, "patch_size": 4}
    return transformers.SwinConfig(image_size=32, initializer_range=0.25, **sizes, **_NAMED)


def _segformer() -> Any:
    heads: dict[str, Any] = {"num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16}
    return transformers.SegformerConfig(**_GRID, **heads, initializer_range=0.25, **_NAMED)


def _clip() -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": 400, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return transformers.CLIPConfig(text_config=text, vision_config={**sizes, **_PATCHES}, projection_dim=24)


def _siglip() -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.SiglipConfig(text_config={**sizes, "vocab_size": 400}, vision_config={**sizes, **_PATCHES})


@dataclass(frozen=True)
class Family:
    """An architecture: its configuration, its processor, what transformers calls its models, the layer before its labels."""

    config: Callable[[], Any]
    processor: str
    size: dict[str, int]
    prefix: str
    head: str = "classifier"
    processing: dict[str, Any] = field(default_factory=dict)


_SMALL = {"height": 32, "width": 32}
FAMILIES = {
    "vit": Family(lambda: transformers.ViTConfig(**_SIZES, **_PATCHES, **_NAMED), "ViT", _SMALL, "ViT"),
    "deit": Family(
        lambda: transformers.DeiTConfig(**_SIZES, **_PATCHES, **_NAMED),
        "DeiT",
        {"height": 38, "width": 38},
        "DeiT",
        processing={"crop_size": _SMALL},
    ),
    "swin": Family(_swin, "ViT", _SMALL, "Swin"),
    "convnext": Family(
        lambda: transformers.ConvNextConfig(**_GRID, initializer_range=0.25, **_NAMED),
        "ConvNext",
        {"shortest_edge": 64},
        "ConvNext",
    ),
    "clip": Family(_clip, "CLIP", {"shortest_edge": 36}, "CLIP", processing={"crop_size": _SMALL}),
    "siglip": Family(_siglip, "Siglip", _SMALL, "Siglip"),
    "detr": Family(_detr, "Detr", _SIDES, "Detr", "class_labels_classifier"),
    "yolos": Family(_yolos, "Yolos", _SIDES, "Yolos", "class_labels_classifier.layers.2"),
    "segformer": Family(_segformer, "Segformer", {"height": 64, "width": 64}, "Segformer", "decode_head.classifier"),
}


def save_images(folder: Path, head: str, family: str, *, seed: int = 0, processing: dict[str, Any] | None = None) -> Path:
    """``<Prefix><head>`` with random weights and its processor, in ``folder``; its answers tell images apart."""
    row = FAMILIES[family]
    transformers.set_seed(seed)
    with quiet():
        model = getattr(transformers, row.prefix + head)(row.config()).eval()
        kind = getattr(transformers, f"{row.processor}ImageProcessorPil")
        processor = kind(size=row.size, **(row.processing | (processing or {})))
        if family == "yolos":  # else all places look at the same
            torch.nn.init.normal_(model.vit.embeddings.detection_tokens)
        if hasattr(model, row.head.partition(".")[0]):
            _tell_apart(model, model.get_submodule(row.head), processor)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def _tell_apart(model: Any, layer: Any, processor: Any) -> None:
    """``level`` the last layer over some images."""
    seen: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda layer, given, logits: seen.append(logits.detach()))
    for image in pictures():
        with torch.inference_mode():
            model(pixel_values=processor(images=[image], return_tensors="pt")["pixel_values"])
    handle.remove()
    rows = torch.cat([logits.movedim(1, -1).flatten(0, -2) if logits.ndim == 4 else logits.flatten(0, -2) for logits in seen])
    level(layer, rows)


def pictures() -> list[Image.Image]:
    """Of many sizes, lying, standing and square."""
    sizes = [(97, 61), (64, 64), (61, 97), (320, 240), (150, 200), (33, 48), (500, 300), (256, 256), (90, 120)]
    return [drawn(seed).resize(size) for seed, size in enumerate(sizes, start=50)]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def files() -> list[bytes]:
    """The pictures in three formats, and one each of what phones and programs make."""
    made = [encoded(image, kind) for image, kind in zip(pictures(), ["JPEG", "PNG", "WEBP"] * 3, strict=True)]
    image = pictures()[3]
    turned = Image.Exif()
    turned[0x0112] = 6  # on its side
    return [
        *made,
        encoded(image, "JPEG", exif=turned),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image.convert("P"), "PNG", transparency=3),
        encoded(image.convert("LA"), "PNG"),
        encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"),
        encoded(image, "WEBP", save_all=True, append_images=[image.rotate(180)], duration=50),
    ]


def loaded(files: Sequence[bytes]) -> list[Image.Image]:
    """As transformers is given them."""
    return [Image.open(io.BytesIO(file)) for file in files]
