"""Version folders, and the policy that chooses among them."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith_build.lint.backends import is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


def version_folders(model: Model) -> Iterator[Finding]:
    """A model with a configuration has at least one version folder; an ensemble's may be empty."""
    if model.versions or not model.configs:
        return
    file = next(iter(model.configs.values()))
    fix = f"make the folder {model.name}/1"
    if is_ensemble(file.config):
        fix += " with an empty .gitkeep in it: an ensemble needs the folder, and git keeps no empty one"
    message = "there is no version folder, a folder whose name is a number without leading zeros"
    yield found("version-folder-missing", file.path, "version_policy", message, fix)


def version_policy(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """What the policy names is there."""
    if not model.versions:
        return
    policy = file.config.version_policy
    missing = [number for number in policy.specific.versions if number not in model.versions]
    there = ", ".join(str(number) for number in model.versions)
    for number in missing:
        message = f"version {number} has no folder; there are: {there}"
        fix = f"make {model.name}/{number}, or take {number} out of the list"
        yield found("version-not-there", file.path, "version_policy.specific.versions", message, fix)
    if not missing and not model.served(file.config):
        kind = policy.WhichOneof("policy_choice")
        message = f"the policy {kind} chooses none of the versions {there}"
        fix = f"write version_policy {{ specific {{ versions: [{max(model.versions)}] }} }}"
        yield found("no-version-served", file.path, f"version_policy.{kind}", message, fix)
