"""``make redaction``: what the redacting step finds of what Presidio's generator writes about people, and what besides."""
