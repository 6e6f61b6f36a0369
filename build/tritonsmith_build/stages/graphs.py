"""What an engine computes: the model with INT32 inputs and the one FP32 output its task needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.spec import Pooling


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
        return self.select(self.model(**inputs), inputs["attention_mask"]).float()

    def select(self, output: Any, mask: Tensor) -> Tensor:
        """The part of a model's output that leaves the engine."""
        raise NotImplementedError


class Logits(EngineGraph):
    """A classifier's logits ``[batch, labels]``, a token classifier's ``[batch, sequence, labels]``."""

    def select(self, output: Any, mask: Tensor) -> Tensor:
        """The logits as they are."""
        logits: Tensor = output.logits
        return logits


class Pooled(EngineGraph):
    """One vector a text, ``[batch, hidden]``: only it leaves the engine, not a vector a token."""

    def __init__(self, model: nn.Module, pooling: Pooling) -> None:
        super().__init__(model)
        self.pooling = pooling

    def select(self, output: Any, mask: Tensor) -> Tensor:
        """Mean over the tokens that are no padding (Reimers and Gurevych 2019, section 3), or the first token's vector."""
        hidden: Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def graph_for(engine_output: str, model: nn.Module, facts: ModelFacts) -> EngineGraph:
    """The graph whose output has the name ``engine_output``."""
    makers: dict[str, Callable[[], EngineGraph]] = {
        "logits": lambda: Logits(model),
        "token_logits": lambda: Logits(model),
        "pooled": lambda: Pooled(model, facts.pooling),
    }
    return makers[engine_output]().eval()
