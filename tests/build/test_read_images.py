"""Processors of images are translated and compared, or refused by their name; and what a spec and a model say is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from tiny_images import LABELS, pictures, save_images
from tiny_models import FAMILIES, edit_json
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ImageFacts
from tritonsmith_build.source import locate
from tritonsmith_build.stages.read import read
from tritonsmith_build.stages.read_images import translated
from tritonsmith_steps.pixels import PixelMaker, PixelSettings
from workbench import write_spec

TRANSLATED: dict[str, Any] = {
    "ViT": {"size": {"height": 40, "width": 24}},
    "DeiT": {"size": {"height": 50, "width": 50}, "crop_size": {"height": 32, "width": 32}},
    "ConvNext": {"size": {"shortest_edge": 64}},
    "ConvNext-large": {"size": {"shortest_edge": 384}},
    "CLIP": {"size": {"shortest_edge": 40}, "crop_size": {"height": 36, "width": 36}},
    "Siglip": {"size": {"height": 48, "width": 48}},
    "Bit": {"size": {"shortest_edge": 48}, "crop_size": {"height": 40, "width": 40}, "do_rescale": False},
    "Detr": {"size": {"shortest_edge": 64, "longest_edge": 96}},
    "Yolos": {"size": {"shortest_edge": 64, "longest_edge": 96}},
    "Segformer": {"size": {"height": 64, "width": 48}, "do_reduce_labels": True},
    "MobileNetV2": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_normalize": False},
}


def processor(name: str, **options: Any) -> Any:
    return getattr(transformers, f"{name.partition('-')[0]}ImageProcessorPil")(**options)


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translated_processor_makes_the_same_pixels(name: str) -> None:
    original = processor(name, **TRANSLATED[name])
    make = PixelMaker(PixelSettings(max_bytes=1, max_pixels=10**7, **translated(original, where="here")))
    for image in pictures():
        expected = original(images=[image], return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(make(image), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("EfficientNet", {"size": {"height": 32, "width": 32}, "rescale_offset": True}, r"its pixels differ by [\d.e+-]+"),
        ("ViT", {"do_resize": False}, r"images of any size would reach the engine"),
        ("ViT", {"size": {"max_height": 32, "max_width": 32}}, r"its size is \{'max_height': 32, 'max_width': 32\}"),
        ("Bit", {"size": {"shortest_edge": 32}, "do_center_crop": False}, r"images of any size would reach the engine"),
    ],
    ids=["offset", "no size", "bounds", "no crop"],
)
def test_what_a_step_cannot_do_is_refused_by_the_processors_name(name: str, options: Any, reason: str) -> None:
    with pytest.raises(SmithError, match=rf"^here: {name}ImageProcessor cannot be translated: {reason}; only resizing"):
        translated(processor(name, **options), where="here")


def facts_of(folder: Path, task: str, **tables: Any) -> ImageFacts:
    spec = write_spec(folder, "seen", task=task, **tables)
    (folder / "read").mkdir()
    read(spec, locate(spec), folder / "read")
    return ImageFacts.model_validate(json.loads((folder / "read" / "facts.json").read_text()))


def test_a_classifier_says_its_labels_and_its_size(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "ForImageClassification", "deit")
    facts = facts_of(tmp_path, "image-classification")
    assert (facts.labels, facts.activation, facts.width, facts.dims) == (LABELS, "softmax", 5, (5,))
    assert (facts.size, facts.crop, facts.one_size) == ((38, 38), (32, 32), (32, 32))


@pytest.mark.parametrize(
    ("head", "family", "task", "output", "dims"),
    [
        ("ForObjectDetection", "detr", "object-detection", {}, (12, 10)),
        ("ForSemanticSegmentation", "segformer", "image-segmentation", {}, (5, 16, 16)),
        ("Model", "vit", "image-feature-extraction", {}, (32,)),
        ("Model", "vit", "image-feature-extraction", {"pool": False}, (17, 32)),
        ("Model", "convnext", "image-feature-extraction", {"pool": False}, (32, 2, 2)),
    ],
    ids=["boxes", "pixels", "pooled", "parts", "grid"],
)
def test_the_shape_of_the_output_is_found_by_trying(
    tmp_path: Path, head: str, family: str, task: str, output: Any, dims: tuple[int, ...]
) -> None:
    save_images(tmp_path / "model", head, family)
    assert facts_of(tmp_path, task, output=output).dims == dims


def test_a_map_of_images_of_any_size_has_no_size_of_its_own(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "ForSemanticSegmentation", "segformer")
    size = {"shortest_edge": 64, "longest_edge": 128}
    edit_json(tmp_path / "model" / "preprocessor_config.json", size=size)
    facts = facts_of(tmp_path, "image-segmentation")
    assert (facts.dims, facts.one_size, facts.shortest, facts.longest) == ((5, -1, -1), None, 64, 128)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ({"pool": False, "normalize": True}, "output: only one vector an image is normalized or cut; set output.pool = true"),
        ({"truncate_dim": 33}, "output.truncate_dim: a vector has 32 values; set truncate_dim <= 32"),
    ],
    ids=["parts", "too many"],
)
def test_what_cannot_be_made_of_vectors_is_refused(tmp_path: Path, output: Any, reason: str) -> None:
    save_images(tmp_path / "model", "Model", "vit")
    with pytest.raises(SmithError, match=reason):
        facts_of(tmp_path, "image-feature-extraction", output=output)


def test_a_detector_whose_scores_are_made_otherwise_is_refused(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "ForObjectDetection", "detr")
    edit_json(tmp_path / "model" / "preprocessor_config.json", image_processor_type="ConditionalDetrImageProcessor")
    with pytest.raises(SmithError, match="what follows ConditionalDetrImageProcessor is not translated; give a DETR"):
        facts_of(tmp_path, "object-detection")


def test_a_model_without_a_processor_is_refused(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "Model", "vit")
    (tmp_path / "model" / "preprocessor_config.json").unlink()
    with pytest.raises(SmithError, match="AutoImageProcessor cannot read"):
        facts_of(tmp_path, "image-feature-extraction")


def test_texts_of_a_model_that_makes_them_vectors_in_its_own_way_are_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": 400, "project_dim": 24}
    config = transformers.AltCLIPConfig(text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 8})
    transformers.AltCLIPModel(config).save_pretrained(tmp_path / "model")
    FAMILIES["bert"].tokenizer(model_max_length=64).save_pretrained(tmp_path / "model")
    spec = write_spec(tmp_path, "seen", task="feature-extraction")
    (tmp_path / "read").mkdir()
    with pytest.raises(SmithError, match=r"seen\.toml: source: texts of altclip are made vectors in its own way; only"):
        read(spec, locate(spec), tmp_path / "read")


def test_texts_that_are_filled_up_on_the_left_are_refused(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "Model", "siglip")
    FAMILIES["bert"].tokenizer(model_max_length=64, padding_side="left").save_pretrained(tmp_path / "model")
    spec = write_spec(tmp_path, "seen", task="feature-extraction")
    (tmp_path / "read").mkdir()
    with pytest.raises(SmithError, match=r"seen\.toml: source: texts of siglip are filled up on the left; give a model whose"):
        read(spec, locate(spec), tmp_path / "read")


def test_a_processor_that_does_not_fit_its_model_is_said(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "ForImageClassification", "vit")
    edit_json(tmp_path / "model" / "preprocessor_config.json", size={"height": 40, "width": 40})
    with pytest.raises(SmithError, match=r"ViTForImageClassification does not answer as its task needs \(ValueError.*40"):
        facts_of(tmp_path, "image-classification")


def test_a_processor_of_another_kind_is_refused_whatever_it_raises(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "ForImageClassification", "vit")
    file = tmp_path / "model" / "preprocessor_config.json"
    edit_json(file, image_processor_type="LayoutLMv3ImageProcessor", apply_ocr=True)
    with pytest.raises(SmithError, match="LayoutLMv3ImageProcessor cannot be translated: "):
        facts_of(tmp_path, "image-classification")
