"""The ensemble over one version's steps that stands by itself for the time of an upgrade."""

from __future__ import annotations

from google.protobuf import text_format

from tritonsmith_build.pbtxt import config_from_text


def standing_alone(text: str, name: str, version: int) -> str:
    """From the configuration of the ensemble whose steps they are: no pipeline of callers, and nothing remembered."""
    config = config_from_text(text, where=name)
    config.name = name
    for step in config.ensemble_scheduling.step:
        step.model_version = version
    config.response_cache.enable = False
    config.version_policy.specific.versions[:] = [version]
    config.parameters.clear()
    written: str = text_format.MessageToString(config)
    return written
