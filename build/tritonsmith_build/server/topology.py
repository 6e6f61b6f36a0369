"""What a running server serves: its pipelines, their ensembles and steps, as its own configurations say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tritonsmith_build.server.health import get, post, served

Config = Mapping[str, Any]
"""A model's, as Triton gives it in JSON."""


@dataclass(frozen=True)
class Step:
    """One model of a pipeline that is no ensemble."""

    model: str
    version: int
    processes: int
    """How many of its own it has: none where its backend is not Python."""


@dataclass(frozen=True)
class Pipeline:
    """One public name."""

    name: str
    config: Config
    ensembles: tuple[str, ...]
    """Its own first, then those inside of it."""
    steps: tuple[Step, ...]


def topology(url: str, *, key: str, timeout: float) -> tuple[Pipeline, ...]:
    """The pipelines that a server has loaded. Raises OSError or SmithError where it does not say."""
    return tuple(_pipeline(url, name, timeout) for name in served(url, key=key, timeout=timeout))


def loaded(url: str, model: str, *, key: str, timeout: float) -> bool:
    """Whether Triton means to have a model loaded; of one whose process died it still says so. Raises OSError."""
    index = post(f"{url}/v2/repository/index", {"ready": True}, key=key, timeout=timeout)
    return any(entry["name"] == model for entry in index)


def _pipeline(url: str, name: str, timeout: float) -> Pipeline:
    models = list(_models(url, name, None, timeout))
    ensembles = (model for model, _, config in models if _inside(config))
    steps = (Step(model, version or 1, _processes(config)) for model, version, config in models if not _inside(config))
    return Pipeline(name, models[0][2], tuple(dict.fromkeys(ensembles)), tuple(dict.fromkeys(steps)))


def _models(url: str, model: str, version: int | None, timeout: float) -> Iterator[tuple[str, int | None, Config]]:
    of_version = f"/versions/{version}" if version else ""
    config = get(f"{url}/v2/models/{model}{of_version}/config", timeout=timeout)
    yield model, version, config
    for step in _inside(config):
        yield from _models(url, step["model_name"], int(step["model_version"]), timeout)


def _inside(config: Config) -> list[Config]:
    steps: list[Config] = config.get("ensemble_scheduling", {}).get("step", [])
    return steps


def _processes(config: Config) -> int:
    return sum(group["count"] for group in config["instance_group"]) if config["backend"] == "python" else 0
