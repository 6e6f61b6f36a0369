"""Which spec a person means by a name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.tables import PipelineSpec

FOLDER = Path("pipelines")


def specs_named(names: Sequence[str], folder: Path = FOLDER) -> list[PipelineSpec]:
    """Each name's spec: ``folder/<name>.toml``, or a TOML file where a path is given; all of ``folder`` for no name."""
    files = [_file(name, folder) for name in names] or all_files(folder)
    specs = [spec_from_file(file) for file in files]
    doubled = {spec.name for spec in specs if [other.name for other in specs].count(spec.name) > 1}
    if doubled:
        raise SmithError(f"two specs are named {min(doubled)}", where="PIPELINE", fix="rename one file")
    return specs


def all_files(folder: Path = FOLDER) -> list[Path]:
    """Every spec of a folder. Raises SmithError where there is none."""
    files = sorted(file for file in folder.glob("*.toml") if not file.name.endswith(".lock.toml"))
    if not files:
        raise SmithError("holds no spec", where=folder, fix="go to the project's folder, or give the path of a TOML file")
    return files


def _file(name: str, folder: Path) -> Path:
    return Path(name) if "/" in name or name.endswith(".toml") else folder / f"{name}.toml"
