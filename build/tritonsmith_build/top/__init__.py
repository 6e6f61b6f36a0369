"""``tritonsmith top``: what a running server does at the moment, from its metrics page."""
