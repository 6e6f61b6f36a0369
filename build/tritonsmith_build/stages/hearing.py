"""Models of waves made to answer a padded row as they answer it alone, so that recordings of any lengths share a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_PIECE = 256


@dataclass
class Heard:
    """Which samples of the batch under way are no padding, and what a model's convolutions make of that."""

    convolutions: Sequence[tuple[int, int]]
    """Kernel and stride of each."""
    samples: Tensor | None = None
    """BOOL ``[batch, samples]``, padding on the right."""

    def frames(self, after: int | None = None) -> Tensor:
        """Which frames hear nothing but samples, ``[batch, frames]``, after so many convolutions or all of them.

        A frame does where the last sample that it hears is one. Picked, not counted: lengths are no numbers for 16 bits.
        """
        assert self.samples is not None
        mask = self.samples
        for kernel, stride in self.convolutions[:after]:
            mask = mask[:, kernel - 1 :: stride]
        return mask


class OwnNorm(nn.Module):
    """A group norm over time that leaves padding out: ``(x - mean) / sqrt(variance + eps)`` a channel (Wu and He 2018)."""

    def __init__(self, norm: nn.GroupNorm, heard: Heard) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.heard = norm.weight, norm.bias, norm.eps, heard

    def forward(self, values: Tensor) -> Tensor:
        """Normalize ``[batch, channels, frames]``, what the first convolution gives."""
        mask = self.heard.frames(1)[:, None].to(values.dtype)
        count = _sum(mask)
        centered = values - _sum(values * mask) / count
        variance = _sum(centered * centered * mask) / count
        return centered * torch.rsqrt(variance + self.eps) * self.weight[:, None] + self.bias[:, None]


def _sum(values: Tensor) -> Tensor:
    """Over time, ``[batch, channels, 1]``: by pieces, because a runtime that adds up 100,000 values in a row loses digits."""
    filled = nn.functional.pad(values, (0, -values.shape[-1] % _PIECE))
    return filled.reshape(*values.shape[:-1], -1, _PIECE).sum(dim=-1).sum(dim=-1, keepdim=True)


def convolutions_of(config: Any) -> list[tuple[int, int]]:
    """Kernel and stride of each convolution that a model of waves begins with; nothing where it says none."""
    return list(zip(getattr(config, "conv_kernel", ()), getattr(config, "conv_stride", ()), strict=True))


def least_samples(config: Any) -> int:
    """How many samples a model of waves needs to hear anything: those behind one frame of its last convolution."""
    least = 1
    for kernel, stride in reversed(convolutions_of(config)):
        least = (least - 1) * stride + kernel
    return least


class FilledByMask(TorchFunctionMode):
    """While it lasts, ``values[mask] = number`` is a choice between two values for each place.

    As models write it, it is exported as a list of places of unknown length, which TensorRT has no kernel for.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch asks before each of its functions."""
        if func is torch.Tensor.__setitem__ and isinstance(args[1], Tensor) and args[1].dtype is torch.bool:
            return args[0].masked_fill_(args[1], args[2])
        return func(*args, **(kwargs or {}))


def hear_apart(model: nn.Module, heard: Heard) -> None:
    """Change ``model`` in place: what it normalizes over time and what it attends to are the samples that a row has."""
    for module in list(model.modules()):
        norm, conv = getattr(module, "layer_norm", None), getattr(module, "conv", None)
        if isinstance(norm, nn.GroupNorm) and isinstance(conv, nn.Conv1d) and conv.in_channels == 1:
            module.layer_norm = OwnNorm(norm, heard)
        if hasattr(module, "_get_feature_vector_attention_mask"):
            # The model's own one counts, and writes at computed places, which some engines cannot.
            object.__setattr__(module, "_get_feature_vector_attention_mask", lambda *given, **named: heard.frames())
