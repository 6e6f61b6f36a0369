"""What Triton's Python backend runs: pure numpy steps, and one file that knows Triton."""
