"""The tasks on images: their models, files of several formats and sizes, and transformers' own answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity import Case, of_transformers
from parity_texts import clip
from tiny_images import files, loaded, save_images
from transformers import AutoImageProcessor, AutoModel
from transformers.image_utils import load_image

FILES = files()


def with_head(head: str, **processing: Any) -> Callable[[Path, str, int], object]:
    def make(folder: Path, family: str, seed: int) -> object:
        return save_images(folder, head, family, seed=seed, processing=processing)

    return make


def of_loaded(task: str, **fixed: Any) -> Callable[[Path], Callable[..., Any]]:
    """transformers is given images, not the bytes of files."""

    def reference(folder: Path) -> Callable[..., Any]:
        ask = of_transformers(task, **fixed)(folder)

        def answers(items: Any, **options: Any) -> Any:
            return ask(loaded([items])[0] if isinstance(items, bytes) else loaded(items), **options)

        return answers

    return reference


def of_vectors(**fixed: Any) -> Callable[[Path], Callable[..., Any]]:
    """As arrays, an image a row."""

    def reference(folder: Path) -> Callable[..., Any]:
        ask = of_loaded("image-feature-extraction", **fixed)(folder)
        return lambda items, **options: np.array(ask(items, **options), np.float32)

    return reference


def of_tower(folder: Path) -> Callable[..., Any]:
    """A model of texts and images, asked for its images' vectors."""
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder, backend="pil")

    def answers(items: Any) -> Any:
        images = [load_image(image) for image in loaded([items] if isinstance(items, bytes) else items)]
        with torch.inference_mode():
            return model.get_image_features(**processor(images, return_tensors="pt")).pooler_output.numpy()

    return answers


_WORDS = ["cat", "ein Hund", "une forêt", "snow", "the sea at night"]
IMAGE_CASES = [
    *(
        Case("image-classification", family, with_head("ForImageClassification"), of_loaded("image-classification"), FILES,
             ({}, {"top_k": 2, "function_to_apply": "sigmoid"}), bad=b"no image")
        for family in ("vit", "deit", "swin", "convnext")
    ),
    Case("image-feature-extraction", "vit", with_head("Model", resample=1), of_vectors(pool=True), FILES, bad=b"no image"),
    Case("image-feature-extraction", "swin", with_head("Model"), of_vectors(), FILES, bad=b"no image",
         spec="[output]\npool = false\n"),
    *(
        Case("image-feature-extraction", family, with_head("Model"), of_tower, FILES, bad=b"no image")
        for family in ("clip", "siglip")
    ),
    *(
        Case("zero-shot-image-classification", family, clip, of_loaded("zero-shot-image-classification"), FILES,
             ({"candidate_labels": _WORDS, "hypothesis_template": "{} seen from afar"}, {"candidate_labels": _WORDS}),
             bad=b"no image")
        for family in ("clip", "siglip")
    ),
    *(
        Case("object-detection", family, with_head("ForObjectDetection"), of_loaded("object-detection"), FILES,
             ({"threshold": 0.3}, {}), bad=b"no image")
        for family in ("detr", "yolos")
    ),
    Case("image-segmentation", "segformer", with_head("ForSemanticSegmentation"), of_loaded("image-segmentation"), FILES,
         bad=FILES[0][:200]),
]  # fmt: skip
