"""Shipped pipelines of texts, compared with other texts than their gates' in short windows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from served import ROOT, built


def drifting(folder: Path, names: Sequence[str], known: Sequence[str], *, window: int) -> Path:
    """A repository with them, as they ship but for what they are compared with."""
    (folder / "known.txt").write_text("\n".join(known), encoding="utf-8")
    files = [folder / f"{name}.toml" for name in names]
    for file in files:
        spec = (ROOT / "pipelines" / file.name).read_text(encoding="utf-8")
        file.write_text(f'{spec}\n[drift]\nwindow = {window}\ndata = "known.txt"\n', encoding="utf-8")
        if (beside := ROOT / "pipelines" / file.stem).is_dir():
            shutil.copytree(beside, folder / file.stem)
    return built(files, folder / "models")
