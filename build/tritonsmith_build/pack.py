"""``tritonsmith pack``: built pipelines as one archive with the hash of every file.

It unpacks into a model repository (``tar xf``), whose files ``sha256sum -c SHA256SUMS`` checks; ``serve`` checks the engines
again. The same repository gives the same archive, byte for byte.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.repository import MANIFEST, VERSION, Steps, damage, pipeline_steps, read_manifest

SUMS = "SHA256SUMS"
_RENDERED = ("config.pbtxt", "configs/*.pbtxt", "{version}/model.py", "{version}/step.json", "{version}/.gitkeep")
_COMPRESSION = 1  # weights hardly get smaller, however long one tries

Content = Path | bytes


def pack(repository: Path, pipelines: Sequence[str], archive: Path, *, target: str | None = None) -> dict[str, Any]:
    """Write the archive; its path, size, number of files and hash.

    Only ``target``'s engine goes in where one is given, else every target's that was built. Raises SmithError for a pipeline
    that is not there, not built, or whose files are not those that its manifest speaks of.
    """
    there = pipeline_steps(repository)
    files: dict[str, Content] = {}
    for name in pipelines:
        if name not in there:
            known = ", ".join(there) or "none"
            raise SmithError(f"no pipeline {name}; there are: {known}", where=repository, fix="build it, or give --repository")
        files |= members(repository, name, there[name], target)
    sums = "".join(f"{hash_of(content)}  {path}\n" for path, content in sorted(files.items()))
    scratch = archive.with_name(f".{archive.name}.part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(scratch, {**files, SUMS: sums.encode()})
        scratch.replace(archive)
    finally:
        scratch.unlink(missing_ok=True)
    size = archive.stat().st_size
    return {"archive": str(archive), "bytes": size, "files": len(files) + 1, "sha256": sha256(archive)}


def members(repository: Path, name: str, steps: Steps, target: str | None) -> dict[str, Content]:
    """A pipeline's files by their paths in the repository; what no manifest speaks of is left behind.

    Raises SmithError where it is not built, or damaged.
    """
    found: dict[str, Content] = {}
    for model, version in ((name, VERSION), *steps):
        for pattern in _RENDERED:
            for file in (repository / model).glob(pattern.format(version=version)):
                found[file.relative_to(repository).as_posix()] = file
    built = False
    for model, version in steps:
        manifest = read_manifest(repository / model / str(version))
        if manifest is None:
            continue
        targets = {key: entry for key, entry in manifest["targets"].items() if target in (None, key)}
        built = built or bool(targets)
        for entry in targets.values():
            if problem := next(damage(repository, entry["files"]), None):
                raise SmithError(problem, where=repository, fix=f"run: tritonsmith build {name}")
            found |= {path: repository / path for path in entry["files"]}
        said = json.dumps({**manifest, "targets": targets}, indent=2) + "\n"
        found[f"{model}/{version}/{MANIFEST}"] = said.encode()
    if not built:
        command = f"tritonsmith build {name}" + (f" --target {target}" if target else "")
        raise SmithError(f"{name} is not built" + (f" for {target}" if target else ""), where=repository, fix=f"run: {command}")
    return found


def hash_of(content: Content) -> str:
    """Its SHA-256 in hexadecimal."""
    return sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _write(archive: Path, members: Mapping[str, Content]) -> None:
    folders = sorted({folder for path in members for folder in _folders(path)})
    with (
        archive.open("wb") as stream,
        gzip.GzipFile("", "wb", _COMPRESSION, stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for folder in folders:
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        for path, content in sorted(members.items()):
            with _opened(content) as source:
                entry = _entry(path, tarfile.REGTYPE, 0o644)
                entry.size = source.seek(0, io.SEEK_END)
                source.seek(0)
                tar.addfile(entry, source)


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """Without owner and time: what is the same is packed the same."""
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, mode
    return entry


def _opened(content: Content) -> IO[bytes]:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))
