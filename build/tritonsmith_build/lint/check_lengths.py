"""Rows of different lengths: whether they can share a batch, and whether TensorRT has a profile for each.

The dynamic batcher merges equal shapes only, unless an input allows ragged rows. So a step before must pad to a few
lengths, its buckets, which it reads from ``step.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tritonsmith_build.lint.backends import backend_of
from tritonsmith_build.lint.contents import STEP, ConfigFile, Step, Version, View
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found
from tritonsmith_build.repository import MANIFEST

_FIX_ROWS = "pad to a few lengths in the step before, or write allow_ragged_batch: true where the backend takes it"


def rows_merge(view: View) -> Iterator[Finding]:
    """Of every model that batches inputs of variable size."""
    for name, file in view.configs.items():
        loose = [
            tensor.name
            for tensor in file.config.input
            if -1 in tensor.dims and not tensor.allow_ragged_batch and not _is_image(tensor.dims)
        ]
        if not loose or not file.config.HasField("dynamic_batching") or file.config.max_batch_size <= 1:
            continue
        uses = [(step, steps) for _, _, steps in view.ensembles() for step in steps if step.message.model_name == name]
        uneven = {key for step, steps in uses for key in loose if not _is_even(step.message.input_map.get(key), steps)}
        if uneven or (not uses and _is_complete(view)):
            which = ", ".join(key for key in loose if key in uneven or not uses)
            message = f"requests share a batch only where {which} have equal shapes, and no step pads them to buckets"
            yield found("rows-do-not-merge", file.path, "dynamic_batching", message, _FIX_ROWS)


def _is_image(dims: Sequence[int]) -> bool:
    """Channels and two sides of any size: padded, an image would be answered otherwise."""
    return len(dims) == 3 and list(dims).count(-1) == 2


def _is_complete(view: View) -> bool:
    """Whether every model and every step is known, so that one in no ensemble is truly alone."""
    known = view.models.keys() == view.configs.keys()
    return known and all(step.model is not None for _, _, steps in view.ensembles() for step in steps)


def _is_even(tensor: str | None, steps: list[Step], seen: frozenset[int] = frozenset()) -> bool:
    """Whether a tensor of an ensemble comes in a few lengths: from a step with buckets, or made of such tensors."""
    giver = next((step for step in steps if tensor in step.message.output_map.values()), None)
    if giver is None or giver.index in seen:
        return tensor is None  # an optional input left out; else the caller's own length
    if giver.file is None or giver.file.config.HasField("ensemble_scheduling"):
        return True  # not to be told
    if buckets_of(giver.file, giver.version):
        return True
    loose = [entry.name for entry in giver.file.config.input if -1 in entry.dims]
    return bool(loose) and all(_is_even(giver.message.input_map.get(key), steps, seen | {giver.index}) for key in loose)


def buckets_of(file: ConfigFile, version: Version | None) -> list[Any]:
    """The lengths that a step pads to, none where its configuration asks for other padding."""
    buckets = version.table(STEP).get("buckets") if version else None
    padding = file.config.parameters["padding"].string_value if "padding" in file.config.parameters else "bucket"
    return buckets if isinstance(buckets, list) and padding == "bucket" else []


def profiles(view: View) -> Iterator[Finding]:
    """A TensorRT model's instances use every optimization profile that it is known to have."""
    for name, file in view.configs.items():
        model = view.models[name]
        served = model.served(file.config)
        if backend_of(file.config, served) != "tensorrt" or not served:
            continue
        listed = {int(text) for group in file.config.instance_group for text in group.profile if text.isdecimal()}
        count, source = _known(view, name, file, served[0], bool(listed))
        known = set(range(count))
        if count > 1 and (unused := known - (listed or {0})):
            message = f"{source} speaks of {count} lengths, but no instance uses profiles {_listed(unused)}"
            wanted = json.dumps([str(index) for index in range(count)])
            fix = f"write profile: {wanted}; left out, Triton uses 0 alone"
            yield found("profiles-not-listed", file.path, "instance_group.profile", message, fix)
        elif count and (beyond := listed - known):
            message = f"profiles {_listed(beyond)} are listed, {source} speaks of {count} lengths"
            yield found("profile-beyond-known", file.path, "instance_group.profile", message, "list 0 to the last profile only")


def _known(view: View, name: str, file: ConfigFile, version: Version, lists_some: bool) -> tuple[int, str]:
    """How many profiles the engine has, and what says so; 0 where nothing does."""
    target = version.table(MANIFEST, "targets", "tensorrt")
    for key in ("profiles", "buckets"):
        if isinstance(said := target.get(key), list) and said:
            return len(said), f"{version.path}/{MANIFEST}"
    if own := buckets_of(file, version):
        return len(own), f"{version.path}/{STEP}"
    beside = [steps for _, _, steps in view.ensembles() if name in [step.message.model_name for step in steps]]
    for step in (step for steps in beside for step in steps):
        if step.file and step.version and (buckets := buckets_of(step.file, step.version)):
            return len(buckets), f"{step.version.path}/{STEP}"
    if not lists_some:
        return 0, ""  # one profile may well serve all the shapes that are warmed
    shapes = {tuple((key, *warmup.inputs[key].dims) for key in sorted(warmup.inputs)) for warmup in file.config.model_warmup}
    return len(shapes), "model_warmup"


def _listed(indices: set[int]) -> str:
    return ", ".join(str(index) for index in sorted(indices))
