"""What an engine computes: the model behind the inputs of its modality, and the one FP32 output its task needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tritonsmith_steps.arrays import Arrays

from tritonsmith_build.stages.hearing import FilledByMask, Heard, convolutions_of, hear_apart, least_samples
from tritonsmith_build.tables import Pooling

Inputs = Mapping[str, Tensor]
Select = Callable[[Any, Inputs], Tensor]
"""``select(output, inputs)``: the part of a model's output that leaves the engine."""


class EngineGraph(nn.Module):
    """A model behind the interface that every target's engine shares."""

    tower = ""
    """The method that answers for one kind of input alone, of models that have two."""

    def __init__(self, model: nn.Module, select: Select) -> None:
        super().__init__()
        self.model, self.select = model, select

    called = "PyTorch"

    def answer(self, batch: Arrays) -> NDArray[np.float32]:
        """The engine's output for a batch, on the CPU."""
        with torch.inference_mode():
            made: NDArray[np.float32] = self(**{name: torch.from_numpy(array) for name, array in batch.items()}).numpy()
        return made

    def answered(self, inputs: Inputs) -> Tensor:
        """The task's output for a batch, FP32."""
        return self.select(getattr(self.model, self.tower, self.model)(**inputs), inputs).float()


class TextGraph(EngineGraph):
    """Inputs are INT32 ``[batch, sequence]``, as Triton's steps send them; the cast to what PyTorch indexes by is inside."""

    tower = "get_text_features"

    def __init__(self, model: nn.Module, select: Select, *, fill: int = 0, pad_id: int = 0) -> None:
        super().__init__(model, select)
        self.fill, self.pad_id = fill, pad_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """The task's output for a padded batch."""
        inputs = {"input_ids": input_ids.long(), "attention_mask": attention_mask.long()}
        if self.fill:
            inputs = {name: self._filled(row, self.pad_id * (name == "input_ids")) for name, row in inputs.items()}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids.long()
        return self.answered(inputs)

    def _filled(self, row: Tensor, value: int) -> Tensor:
        return torch.cat([row, row.new_full((row.shape[0], self.fill), value)], dim=1)[:, : self.fill]


class ImageGraph(EngineGraph):
    """Its input is FP32 ``[batch, 3, height, width]``, resized and normalized."""

    tower = "get_image_features"

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The task's output for a batch of images of one size."""
        return self.answered({"pixel_values": pixel_values})


class SoundGraph(EngineGraph):
    """Its input is FP32 ``[batch, samples]`` and INT32 ``attention_mask`` of the same shape, or ``[batch, frames, bands]``."""

    def __init__(self, model: nn.Module, select: Select) -> None:
        super().__init__(model, select)
        self.heard = Heard(convolutions_of(model.config))
        self.least = least_samples(model.config)
        hear_apart(model, self.heard)

    def forward(self, input_values: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The task's output for a batch, each row as if it were alone; zeros for frames of padding."""
        if attention_mask is None:
            return self.answered({"input_values": input_values})
        # A row of padding alone is as much silence as the model hears in one place: its answer is a number.
        self.heard.samples = attention_mask.bool() | (torch.arange(attention_mask.shape[1]) < self.least)
        with FilledByMask():
            answer = self.answered({"input_values": input_values, "attention_mask": attention_mask.long()})
        if answer.ndim < 3:
            return answer
        return answer * self.heard.frames()[..., None].to(answer.dtype)


def logits(output: Any, inputs: Inputs) -> Tensor:
    """Of items ``[batch, labels]``, of tokens or frames ``[batch, sequence, labels]``, of pixels ``[batch, labels, h, w]``."""
    found: Tensor = output.logits
    return found


def span_logits(output: Any, inputs: Inputs) -> Tensor:
    """How likely an answer begins and ends at each token, ``[batch, sequence, 2]``."""
    return torch.stack([output.start_logits, output.end_logits], dim=-1)


@dataclass(frozen=True)
class MaskLogits:
    """The logits at the masks of a text, ``[batch, masks * vocabulary]``: not those at every token, which nobody reads."""

    mask_id: int
    masks: int

    def __call__(self, output: Any, inputs: Inputs) -> Tensor:
        """The first ``masks`` of them in the order of the text, zeros where there are fewer.

        Picked by a product with ones and zeros: TopK and Gather by computed places are slow or missing in some engines.
        """
        masked = (inputs["input_ids"] == self.mask_id).long()
        number = masked * masked.cumsum(dim=1)
        places = torch.stack([(number == which + 1) for which in range(self.masks)], dim=1).to(output.logits.dtype)
        picked: Tensor = places @ output.logits
        return picked.flatten(1)


@dataclass(frozen=True)
class Pooled:
    """One vector a text, ``[batch, hidden]``: only it leaves the engine, not a vector a token."""

    pooling: Pooling

    def __call__(self, output: Any, inputs: Inputs) -> Tensor:
        """By ``POOLINGS``, over the tokens that are no padding."""
        return POOLINGS[self.pooling](output.last_hidden_state, inputs["attention_mask"].unsqueeze(-1))


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask.to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def _greatest(hidden: Tensor, mask: Tensor) -> Tensor:
    # Not minus infinity: a row of padding alone must stay a number, in 16 bits too.
    return torch.where(mask.bool(), hidden, -16384.0).amax(1)


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    after = mask.flip(1).cumsum(1).flip(1)  # how many tokens stand here and further on
    return (hidden * ((after == 1) & mask.bool()).to(hidden.dtype)).sum(1)


POOLINGS: Mapping[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda hidden, mask: hidden[:, 0],
    "mean": _mean,
    "max": _greatest,
    "last": _last,
}
"""``[batch, sequence, hidden]`` and its mask ``[batch, sequence, 1]`` to ``[batch, hidden]``, as sentence-transformers does
(mean: Reimers and Gurevych 2019, section 3)."""


def image_features(output: Any, inputs: Inputs) -> Tensor:
    """The vector of every part of an image: ``[batch, parts, hidden]``, or a grid ``[batch, hidden, height, width]``."""
    features: Tensor = output.last_hidden_state
    return features


def own_vector(output: Any, inputs: Inputs) -> Tensor:
    """What the model's own pooler makes of a text or an image, ``[batch, hidden]``, projected where it has two towers."""
    vector: Tensor = output.pooler_output
    return vector.flatten(1)


def detections(output: Any, inputs: Inputs) -> Tensor:
    """For each place where the model looks: the logits of its classes, the last one for nothing, and its box.

    ``[batch, places, labels + 1 + 4]``; the box is center, width and height, relative to the image.
    """
    return torch.cat([output.logits, output.pred_boxes], dim=-1)


SELECTS: Mapping[str, Callable[[Any], Select]] = {
    "logits": lambda facts: logits,
    "token_logits": lambda facts: logits,
    "pixel_logits": lambda facts: logits,
    "frame_logits": lambda facts: logits,
    "span_logits": lambda facts: span_logits,
    "mask_logits": lambda facts: MaskLogits(facts.mask_id, facts.masks),
    "pooled": lambda facts: own_vector if facts.pooling == "model" else Pooled(facts.pooling),
    "image_features": lambda facts: own_vector if facts.pool else image_features,
    "detections": lambda facts: detections,
}
"""By the name of an engine's output, from the facts: what it is."""
