"""Measures this project's server beside what one would use instead of it, and beside its own engine without a server."""
