"""The response cache: where it is refused, and where its answers outlive the truth."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith_build.lint.backends import backend_of, is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model, View
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found

FIELD = "response_cache.enable"


def cache(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """Of a model by itself."""
    config = file.config
    if not config.response_cache.enable:
        return
    kinds = {
        "decoupled": config.model_transaction_policy.decoupled,
        "sequence_batching": config.HasField("sequence_batching"),
    }
    if refused := [kind for kind, holds in kinds.items() if holds]:
        message = f"Triton refuses a model with {refused[0]} and a response cache"
        yield found("cache-refused", file.path, FIELD, message, "delete response_cache")
    elif backend_of(config, model.versions.values()) == "python":
        message = "when this model's process has died, its empty answers are cached and stay after it is back"
        yield found("cache-on-python", file.path, FIELD, message, "cache the ensemble alone, and delete response_cache here")


def cache_in_ensembles(view: View) -> Iterator[Finding]:
    """Of ensembles and their steps."""
    for name, file, steps in view.ensembles():
        for step in steps:
            if step.file is not None and step.model is not None and step.file.config.response_cache.enable:
                yield from _of_step(name, step.model, step.file)
        streaming = [step for step in steps if step.file and step.file.config.model_transaction_policy.decoupled]
        if file.config.response_cache.enable and streaming:
            message = f"step {streaming[0].message.model_name} is decoupled, and so is the ensemble; Triton refuses to cache it"
            yield found("cache-refused", file.path, FIELD, message, "delete response_cache")


def cached_outputs(view: View) -> Iterator[Finding]:
    """Triton's key has what a request gives and not what it asks for; an ensemble always asks for what it maps."""
    asked = [(step.message.model_name, len(step.message.output_map)) for _, _, steps in view.ensembles() for step in steps]
    for name, file in view.configs.items():
        outputs = len(file.config.output)
        if file.config.response_cache.enable and outputs > 1 and (name, outputs) not in asked:
            message = f"whoever asks for one of its {outputs} outputs leaves the others out for all who send the same later"
            fix = "have it asked for all by an ensemble without response_cache"
            yield found("cache-forgets-outputs", file.path, FIELD, message, fix)


def _of_step(ensemble: str, model: Model, file: ConfigFile) -> Iterator[Finding]:
    if is_ensemble(file.config):  # a pipeline of its own, whose answers are worth keeping where only its part is repeated
        return
    if backend_of(file.config, model.versions.values()) != "python":  # which is worse, and has been said
        message = f"it is a step of {ensemble}: its answers take room in the cache beside the ensemble's"
        yield found("cache-on-step", file.path, FIELD, message, "cache the ensemble alone, and delete response_cache here")
