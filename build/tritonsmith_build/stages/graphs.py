"""What an engine computes: the model with INT32 inputs and the one FP32 output its task needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.tables import Pooling


class EngineGraph(nn.Module):
    """A model behind the interface that every target's engine shares.

    Inputs are INT32 ``[batch, sequence]``, as Triton's steps send them; the cast to what PyTorch indexes by is inside the
    graph. The output is FP32 ``[batch, width]``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """The task's output for a padded batch."""
        inputs = {"input_ids": input_ids.long(), "attention_mask": attention_mask.long()}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids.long()
        return self.select(self.model(**inputs), inputs).float()

    def select(self, output: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """The part of a model's output that leaves the engine."""
        raise NotImplementedError


class Logits(EngineGraph):
    """A classifier's logits ``[batch, labels]``, a token classifier's ``[batch, sequence, labels]``."""

    def select(self, output: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """The logits as they are."""
        logits: Tensor = output.logits
        return logits


class SpanLogits(EngineGraph):
    """How likely an answer begins and ends at each token, ``[batch, sequence, 2]``."""

    def select(self, output: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """Both logits side by side."""
        return torch.stack([output.start_logits, output.end_logits], dim=-1)


class MaskLogits(EngineGraph):
    """The logits at the masks of a text, ``[batch, masks * vocabulary]``: not those at every token, which nobody reads."""

    def __init__(self, model: nn.Module, mask_id: int, masks: int) -> None:
        super().__init__(model)
        self.mask_id, self.masks = mask_id, masks

    def select(self, output: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """The first ``masks`` of them in the order of the text, zeros where there are fewer.

        Picked by a product with ones and zeros: TopK and Gather by computed places are slow or missing in some engines.
        """
        masked = (inputs["input_ids"] == self.mask_id).long()
        number = masked * masked.cumsum(dim=1)
        places = torch.stack([(number == which + 1) for which in range(self.masks)], dim=1).to(output.logits.dtype)
        picked: Tensor = places @ output.logits
        return picked.flatten(1)


class Pooled(EngineGraph):
    """One vector a text, ``[batch, hidden]``: only it leaves the engine, not a vector a token."""

    def __init__(self, model: nn.Module, pooling: Pooling) -> None:
        super().__init__(model)
        self.pooling = pooling

    def select(self, output: Any, inputs: Mapping[str, Tensor]) -> Tensor:
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


def graph_for(engine_output: str, model: nn.Module, facts: ModelFacts) -> EngineGraph:
    """The graph whose output has the name ``engine_output``."""
    makers: dict[str, Callable[[], EngineGraph]] = {
        "logits": lambda: Logits(model),
        "token_logits": lambda: Logits(model),
        "span_logits": lambda: SpanLogits(model),
        "mask_logits": lambda: MaskLogits(model, facts.mask_id, facts.masks),
        "pooled": lambda: Pooled(model, facts.pooling),
    }
    return makers[engine_output]().eval()
