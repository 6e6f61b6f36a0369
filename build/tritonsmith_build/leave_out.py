"""Which MatMuls INT8 leaves in a higher precision, by where they stand in the graph."""

from __future__ import annotations

AFTER_GELU, BEFORE_GELU, AROUND_GELU = "after GELU", "before GELU", "around GELU"

LEAVE_OUT: dict[str, frozenset[str]] = {
    AFTER_GELU: frozenset({AFTER_GELU}),
    AROUND_GELU: frozenset({AFTER_GELU, BEFORE_GELU}),
}
"""What is not quantized where quantizing all does not pass the gate, from the least to the most; a build takes the first
that passes.

GELU's long one-sided tail needs a scale under which all else drowns: however it is smoothed, the MatMuls after it cost
MiniLM more cosine than all others together. Those before it read a LayerNorm's outlier channels, and come second. SiLU and
QuickGELU have the same tail and count as GELU, alone or as one half of a gated unit.
"""
