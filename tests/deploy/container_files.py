"""What Dockerfile and Compose file say, read with Docker's own rules."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    """A line of a Dockerfile."""

    keyword: str
    flags: tuple[tuple[str, str], ...]
    value: str

    @property
    def words(self) -> list[str]:
        """The words of a command in either form, or of a list of paths."""
        return yaml.safe_load(self.value) if self.value.startswith("[") else shlex.split(self.value)

    def mounts(self) -> Iterator[dict[str, str]]:
        for name, value in self.flags:
            if name == "mount":
                yield dict(part.split("=", 1) for part in value.split(","))


@dataclass(frozen=True)
class Stage:
    name: str
    base: str
    own: tuple[Instruction, ...]

    def all(self, keyword: str) -> list[Instruction]:
        return [instruction for instruction in self.own if instruction.keyword == keyword]

    def last(self, keyword: str) -> Instruction:
        return self.all(keyword)[-1]


@dataclass(frozen=True)
class Containers:
    """The texts, as they are or changed by a test."""

    dockerfile: str
    compose: str
    ignore: str

    @classmethod
    def of_project(cls) -> Containers:
        return cls(*((ROOT / name).read_text() for name in ("deploy/Dockerfile", "docker-compose.yml", ".dockerignore")))

    @cached_property
    def instructions(self) -> list[Instruction]:
        parser = DockerfileParser(fileobj=io.BytesIO(self.dockerfile.encode()))
        return [_instruction(entry) for entry in parser.structure if entry["instruction"] != "COMMENT"]

    @cached_property
    def stages(self) -> dict[str, Stage]:
        starts = [number for number, one in enumerate(self.instructions) if one.keyword == "FROM"]
        ends = [*starts[1:], len(self.instructions)]
        found = {}
        for start, end in zip(starts, ends, strict=True):
            base, _, name = self.instructions[start].words
            found[name] = Stage(name, base, tuple(self.instructions[start + 1 : end]))
        return found

    @cached_property
    def args(self) -> dict[str, str]:
        """Every ARG with its default."""
        given = (one.value.partition("=") for one in self.instructions if one.keyword == "ARG")
        return {name: default for name, _, default in given}

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        defaults = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", self.compose)
        return yaml.safe_load(defaults)["services"]

    def variables(self) -> set[str]:
        """What a person can set for Compose."""
        given = {name for service in self.built.values() for name in service["build"]["args"]}
        return given | set(re.findall(r"\$\{(\w+)", self.compose))

    @property
    def built(self) -> dict[str, dict[str, Any]]:
        """The services that run this project, rather than an image of somebody else's."""
        return {name: service for name, service in self.services.items() if "build" in service}

    def of_stage(self, stage: str) -> dict[str, dict[str, Any]]:
        return {name: service for name, service in self.built.items() if service["build"]["target"] == stage}

    @cached_property
    def context(self) -> set[str]:
        """The project's files that come past .dockerignore."""
        lines = [line.strip() for line in self.ignore.splitlines()]
        return exclude_paths(str(ROOT), [line for line in lines if line and not line.startswith("#")], "deploy/Dockerfile")


def _instruction(entry: dict[str, Any]) -> Instruction:
    flags, value = [], entry["value"]
    while found := re.match(r"--([\w-]+)=(\S+)\s+", value):
        flags.append((found[1], found[2]))
        value = value[found.end() :]
    return Instruction(entry["instruction"], tuple(flags), value)
