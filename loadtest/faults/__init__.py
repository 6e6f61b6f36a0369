"""Faults done to a running server on purpose, and what its callers saw of them."""
