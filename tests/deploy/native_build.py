"""A Dockerfile's stages carried out on this machine, below a folder instead of an image's root.

What an image would have and this machine has elsewhere is put in its place: the Python that runs this, with its pip, for the
image's. Enough for stages that install Python packages; users, ports and entries mean nothing here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from container_files import ROOT, Containers, Instruction, Stage

OF_IMAGE = {"/usr/bin/python3": sys.executable}
FOLDERS = ("/opt/tritonsmith", "/requirements", "/src", "/wheels")
"""The absolute paths that the stages use, which lie below the folder here."""


class NativeBuild:
    """Stages share one folder: none of them may write where another does."""

    def __init__(self, given: Containers, folder: Path) -> None:
        self.given, self.folder, self.done = given, folder, list[str]()
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(self, stage: str) -> None:
        """Carry out a stage, after those that it takes from, each once."""
        if stage in self.done or stage not in self.given.stages:
            return
        wanted = self.given.stages[stage]
        for source in (wanted.base, *(mount.get("from", "") for one in wanted.own for mount in one.mounts())):
            self.run(source)
        self._carry_out(wanted)
        self.done.append(stage)

    def _carry_out(self, stage: Stage) -> None:
        where = self.folder
        for one in stage.own:
            if one.keyword == "WORKDIR":
                where = Path(self._here(one.value))
                where.mkdir(parents=True, exist_ok=True)
            elif one.keyword == "ENV" and stage.name == "base":
                self.environment |= self._variables(one)
            elif one.keyword == "COPY":
                *sources, target = one.words
                for source in sources:
                    place(ROOT / source, where / target)
            elif one.keyword == "RUN":
                for mount in one.mounts():
                    if mount["type"] == "bind" and "from" not in mount:
                        place(ROOT / mount["source"], Path(self._here(mount["target"])))
                subprocess.run(["sh", "-euc", self._here(one.value)], cwd=where, env=self.environment, check=True)

    def _variables(self, one: Instruction) -> Mapping[str, str]:
        pairs = (word.partition("=") for word in one.words)
        return {name: self._here(value).replace("${PATH}", self.environment["PATH"]) for name, _, value in pairs}

    def _here(self, text: str) -> str:
        for there, here in OF_IMAGE.items():
            text = text.replace(there, here)
        return re.sub(rf"(?<![\w.])(?:{'|'.join(FOLDERS)})\b", lambda found: f"{self.folder}{found[0]}", text)


def place(source: Path, target: Path) -> None:
    """A copy as COPY makes it: a folder's contents, or a file under the target's name or in it."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / source.name if target.is_dir() else target)
