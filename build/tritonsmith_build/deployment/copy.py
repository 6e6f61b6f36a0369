"""One pipeline's files in a deployed copy. Standard library only: a server that starts puts them right with it.

What a server reads stands where Triton looks for it; ``.versions/PIPELINE/NUMBER/MODEL`` has each version's configurations
as they were rendered, and in ``files`` its version folder while that is not served. A folder comes and goes by a rename.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonsmith_build.deployment.texts import ensemble_text, is_ensemble, step_text
from tritonsmith_build.repository import place_files, stale, steps_in

VERSIONS = ".versions"
CONFIG = "config.pbtxt"
_FILES = "files"
_UNWRITTEN = b"Triton takes a version folder that changes for a new one, so nobody may write compiled modules here.\n"
"""What stands in place of ``__pycache__``: a file, so that Python makes no folder."""


class Copy:
    """A pipeline in ``folder``."""

    def __init__(self, folder: Path, pipeline: str) -> None:
        self.folder, self.pipeline = folder, pipeline
        self._store = folder / VERSIONS / pipeline

    # What a version consists of.

    def kept(self) -> list[int]:
        """The numbers of all versions there are."""
        return sorted(int(path.name) for path in self._store.glob("*") if path.name.isdecimal())

    def configs(self, version: int) -> dict[str, str]:
        """A version's configurations as rendered, by path."""
        root = self._store / str(version)
        files = [*root.glob(f"*/{CONFIG}"), *root.glob("*/configs/*.pbtxt")]
        return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in sorted(files)}

    def models(self, version: int) -> list[str]:
        """All models of a version."""
        return [path.removesuffix(f"/{CONFIG}") for path in self.configs(version) if path.endswith(f"/{CONFIG}")]

    def steps(self, version: int) -> list[str]:
        """Those that are no ensembles, in the order in which data flows."""
        text = self.configs(version)[f"{self.within(version) or self.pipeline}/{CONFIG}"]
        return [model for model, _ in steps_in(text)]

    def within(self, version: int) -> str | None:
        """The ensemble that remembers answers, where the pipeline's own asks one."""
        configs = self.configs(version)
        (first, _), *_ = steps_in(configs[f"{self.pipeline}/{CONFIG}"])
        return first if is_ensemble(configs[f"{first}/{CONFIG}"]) else None

    def alone(self, version: int) -> str:
        """The name of an ensemble for the time of an upgrade, which asks the steps of one version and remembers nothing."""
        return f"{self.pipeline}_at_{version}"

    # Versions that come and go.

    def prepare(self, version: int, contents: Mapping[str, Path | bytes]) -> None:
        """Keep a version, whole or not at all; ``contents`` by path, as in a repository that has this version."""
        part = self._store / f"{version}.part"
        shutil.rmtree(part, ignore_errors=True)
        for path, content in contents.items():
            model, _, rest = path.partition("/")
            target = part / model / re.sub(rf"^{version}/", f"{_FILES}/", rest)
            _place(content, target)
            if target.name == "model.py":
                _place(_UNWRITTEN, target.with_name("__pycache__"))
        part.rename(self._store / str(version))

    def forget(self, kept: Sequence[int]) -> None:
        """Remove all versions but these; none of them may be served."""
        for path in self._store.glob("*"):
            if not path.name.isdecimal() or int(path.name) not in kept:
                shutil.rmtree(path)

    def bring(self, version: int) -> None:
        """Put a version's folders beside what is served, and the steps' configurations."""
        self._put(self._step_texts(version))
        for model in self.models(version):
            source, target = self._store / str(version) / model / _FILES, self.folder / model / str(version)
            if source.is_dir():
                shutil.rmtree(target, ignore_errors=True)  # of a deployment that was cut off before it was recorded
                target.parent.mkdir(exist_ok=True)
                source.rename(target)

    def retire(self, live: int) -> None:
        """Take every other version's folders out of what is served; those of versions not kept are removed."""
        for model in self.models(live):
            for path in self._others(model, live):
                place = self._store / path.name / model / _FILES
                if place.parent.is_dir() and not place.exists():
                    path.rename(place)
                else:
                    shutil.rmtree(path)

    def _others(self, model: str, live: int) -> list[Path]:
        there = [path for path in (self.folder / model).glob("*") if path.is_dir() and path.name.isdecimal()]
        return [path for path in there if int(path.name) != live]

    # Configurations.

    def put_within(self, version: int) -> None:
        """Let the ensemble within be of a version, where there is one."""
        self._put(self._within_texts(version))

    def put_public(self, version: int, *, through: str | None = None) -> None:
        """Let the pipeline be of a version, which ``through`` answers in place of the ensemble within."""
        self._put(self._public_texts(version, through))

    def _step_texts(self, version: int) -> dict[str, str]:
        steps = self.steps(version)
        return {path: step_text(text) for path, text in self.configs(version).items() if path.partition("/")[0] in steps}

    def _within_texts(self, version: int) -> dict[str, str]:
        within = self.within(version)
        return self._ensemble_texts(within, version) if within else {}

    def _public_texts(self, version: int, through: str | None = None) -> dict[str, str]:
        return self._ensemble_texts(self.pipeline, version, through)

    def _ensemble_texts(self, model: str, version: int, through: str | None = None) -> dict[str, str]:
        path = f"{model}/{CONFIG}"
        return {path: ensemble_text(self.configs(version)[path], version, through=through)}

    def put_alone(self, version: int, text: str) -> None:
        """Put the ensemble for the time of an upgrade beside the others."""
        name = self.alone(version)
        (self.folder / name / str(version)).mkdir(parents=True, exist_ok=True)
        self._put({f"{name}/{CONFIG}": text})

    def alones(self) -> list[str]:
        """The ensembles for the time of an upgrade that are there."""
        found = (path.name for path in self.folder.glob(f"{self.pipeline}_at_*"))
        return sorted(name for name in found if re.fullmatch(rf"{re.escape(self.pipeline)}_at_\d+", name))

    def remove_alones(self) -> None:
        """Remove them."""
        for name in self.alones():
            shutil.rmtree(self.folder / name)

    def _put(self, texts: Mapping[str, str]) -> None:
        """Write what is other than before, by renames; configurations that a step no longer has are removed."""
        for path in stale(self.folder, texts):
            place_files({self.folder / path: texts[path]})
        for file in self._surplus(texts):
            file.unlink()

    def _surplus(self, texts: Mapping[str, str]) -> list[Path]:
        models = {path.partition("/")[0] for path in texts}
        there = [file for model in sorted(models) for file in (self.folder / model / "configs").glob("*.pbtxt")]
        return [file for file in there if file.relative_to(self.folder).as_posix() not in texts]

    # All of it at once.

    def settle(self, live: int) -> None:
        """Serve one version and nothing else, whatever an upgrade left; nothing is written where all is so."""
        self.bring(live)
        self.put_within(live)
        self.put_public(live)
        self.retire(live)
        self.remove_alones()

    def is_settled(self, live: int) -> bool:
        """Whether that would change nothing."""
        texts = {**self._step_texts(live), **self._within_texts(live), **self._public_texts(live)}
        models = self.models(live)
        placed = all((self.folder / model / str(live)).is_dir() for model in models)
        others = [path for model in models for path in self._others(model, live)]
        return placed and not (others or self.alones() or stale(self.folder, texts) or self._surplus(texts))


def _place(content: Path | bytes, target: Path) -> None:
    """A file, linked where that can be: weights are large, and a build replaces files rather than writing into them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
        return
    try:
        os.link(content, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(content, target)
