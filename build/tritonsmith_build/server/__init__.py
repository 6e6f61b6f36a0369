"""Run the real Triton server from its wheel: find it, check what it needs, start it, watch it, end it."""
