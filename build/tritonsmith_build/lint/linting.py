"""All rules over a whole repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tritonsmith_build.lint.check_alternatives import alternatives
from tritonsmith_build.lint.check_batching import batching, queues
from tritonsmith_build.lint.check_cache import cache, cache_in_ensembles, cached_outputs
from tritonsmith_build.lint.check_ensemble import ensemble
from tritonsmith_build.lint.check_files import files_to_load, folder_without_config, python_model
from tritonsmith_build.lint.check_flow import flow
from tritonsmith_build.lint.check_identity import identity
from tritonsmith_build.lint.check_instances import instances
from tritonsmith_build.lint.check_json import json_files
from tritonsmith_build.lint.check_lengths import profiles, rows_merge
from tritonsmith_build.lint.check_onnx import onnx_graphs
from tritonsmith_build.lint.check_steps import ensemble_cycles, steps_of_ensembles
from tritonsmith_build.lint.check_tensors import tensors
from tritonsmith_build.lint.check_types import types
from tritonsmith_build.lint.check_versions import version_folders, version_policy
from tritonsmith_build.lint.check_warmup import warmups
from tritonsmith_build.lint.contents import ConfigFile, Model, Repository, View
from tritonsmith_build.lint.finding import Finding, in_order
from tritonsmith_build.lint.read import repository_from_folder
from tritonsmith_build.lint.views import found_in_views

CONFIG_CHECKS: tuple[Callable[[Model, ConfigFile], Iterator[Finding]], ...] = (
    identity,
    version_policy,
    tensors,
    onnx_graphs,
    batching,
    instances,
    warmups,
    cache,
    ensemble,
)
MODEL_CHECKS: tuple[Callable[[Model], Iterator[Finding]], ...] = (
    folder_without_config,
    version_folders,
    files_to_load,
    python_model,
    alternatives,
)
VIEW_CHECKS: tuple[Callable[[View], Iterator[Finding]], ...] = (
    steps_of_ensembles,
    ensemble_cycles,
    queues,
    flow,
    types,
    rows_merge,
    profiles,
    cache_in_ensembles,
    cached_outputs,
)


def lint_repository(repository: Path) -> list[Finding]:
    """Everything in a Triton model repository that would fail or hurt, by file and field; nothing is started or changed.

    Raises SmithError where the folder is no model repository.
    """
    contents, unreadable = repository_from_folder(repository)
    return in_order([*unreadable, *findings_in(contents)])


def findings_in(repository: Repository) -> Iterator[Finding]:
    """Of every model, of every configuration, and of the wiring under each name of ``--model-config-name``."""
    for model in repository.models.values():
        for check_model in MODEL_CHECKS:
            yield from check_model(model)
        for file in model.configs.values():
            for check_config in CONFIG_CHECKS:
                yield from check_config(model, file)
    yield from found_in_views(repository, VIEW_CHECKS)
    yield from json_files(repository)
