"""The facts about a model, committed beside the spec as ``<name>.lock.toml``."""

from __future__ import annotations

import tomllib
from typing import TypeVar

import tomli_w
from pydantic import ValidationError

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import JoinedFacts, ModelFacts
from tritonsmith_build.tables import PipelineSpec, Table
from tritonsmith_build.tasks import TASKS

Kind = TypeVar("Kind", bound=Table)


def lock_text(spec: PipelineSpec, facts: ModelFacts | JoinedFacts) -> str:
    """The lock file's text."""
    header = f"# What `tritonsmith build {spec.part_of or spec.name}` read from the model. Commit it; do not edit it.\n"
    return header + tomli_w.dumps(facts.model_dump(exclude_defaults=True, mode="json"))


def facts_from_lock(spec: PipelineSpec) -> ModelFacts:
    """The facts as committed, of its modality's kind. Raises SmithError where there are none or they do not read."""
    found: ModelFacts = _from_lock(spec, TASKS[spec.task].modality.facts)
    return found


def joined_facts_from_lock(spec: PipelineSpec) -> JoinedFacts:
    """As ``facts_from_lock``, for a pipeline that joins others."""
    return _from_lock(spec, JoinedFacts)


def _from_lock(spec: PipelineSpec, kind: type[Kind]) -> Kind:
    fix = f"run: tritonsmith build {spec.file}"
    try:
        content = tomllib.loads(spec.lock_file.read_text(encoding="utf-8"))
        return kind.model_validate(content)
    except FileNotFoundError:
        raise SmithError("no such file: the model has not been read yet", where=spec.lock_file, fix=fix) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise SmithError(f"does not read as a lock file ({first})", where=spec.lock_file, fix=fix) from None
