"""TensorRT: its engines built, read, run and measured. Its module is an argument everywhere but in ``host``."""
