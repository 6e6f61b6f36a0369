"""Pipelines as they are deployed: a copy of the repository in which one version follows another while the server serves."""
