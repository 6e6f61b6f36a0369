"""Models of waves made to answer a padded row as they answer it alone, so that recordings of any lengths share a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_PIECE = 256


@dataclass
class Lengths:
    """How many samples each row of the batch under way has, ``[batch]``."""

    samples: Tensor | None = None

    def mask(self, places: int, count: Callable[[Tensor], Tensor]) -> Tensor:
        """Which of so many places hold something, ``[batch, places]``; ``count`` gives a row's number from its samples."""
        assert self.samples is not None
        return torch.arange(places, device=self.samples.device)[None, :] < count(self.samples)[:, None]


class OwnNorm(nn.Module):
    """A group norm over time that leaves padding out: ``(x - mean) / sqrt(variance + eps)`` a channel (Wu and He 2018)."""

    def __init__(self, norm: nn.GroupNorm, conv: nn.Conv1d, lengths: Lengths) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.kernel, self.stride, self.lengths = conv.kernel_size[0], conv.stride[0], lengths

    def forward(self, values: Tensor) -> Tensor:
        """Normalize ``[batch, channels, frames]``, what a convolution of the samples gives."""
        mask = self.lengths.mask(values.shape[-1], self._frames)[:, None].to(values.dtype)
        count = mask.sum(dim=-1, keepdim=True)
        centered = values - _sum(values * mask) / count
        variance = _sum(centered * centered * mask) / count
        return centered * torch.rsqrt(variance + self.eps) * self.weight[:, None] + self.bias[:, None]

    def _frames(self, samples: Tensor) -> Tensor:
        return torch.div(samples - self.kernel, self.stride, rounding_mode="floor") + 1


def _sum(values: Tensor) -> Tensor:
    """Over time, ``[batch, channels, 1]``: by pieces, because a runtime that adds up 100,000 values in a row loses digits."""
    filled = nn.functional.pad(values, (0, -values.shape[-1] % _PIECE))
    return filled.reshape(*values.shape[:-1], -1, _PIECE).sum(dim=-1).sum(dim=-1, keepdim=True)


def least_samples(config: Any) -> int:
    """How many samples the convolutions of a model of waves need to hear anything: those behind one frame of their last."""
    least = 1
    kernels, strides = (reversed(getattr(config, f"conv_{what}", ())) for what in ("kernel", "stride"))
    for kernel, stride in zip(kernels, strides, strict=True):
        least = (least - 1) * stride + kernel
    return least


def hear_apart(model: nn.Module, lengths: Lengths) -> None:
    """Change ``model`` in place: what it normalizes over time and what it attends to are the samples that a row has."""
    for module in list(model.modules()):
        norm, conv = getattr(module, "layer_norm", None), getattr(module, "conv", None)
        if isinstance(norm, nn.GroupNorm) and isinstance(conv, nn.Conv1d) and conv.in_channels == 1:
            module.layer_norm = OwnNorm(norm, conv, lengths)
        if hasattr(module, "_get_feature_vector_attention_mask"):
            # The model's own one writes at computed places, which some engines cannot.
            object.__setattr__(module, "_get_feature_vector_attention_mask", _frame_mask(module, lengths))


def _frame_mask(module: Any, lengths: Lengths) -> Callable[..., Tensor]:
    def mask(frames: int, attention_mask: Tensor, *given: Any, **named: Any) -> Tensor:
        return lengths.mask(frames, lambda samples: module._get_feat_extract_output_lengths(samples, *given, **named))

    return mask
