"""Find a model's folder: inside an installed package, on disk, or on the hub at a pinned revision."""

from __future__ import annotations

import glob
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.tables import PipelineSpec

SAID = ("*.json", "*.txt", "*.model", "*/config.json")
"""What lies beside the weights."""
MODEL_FILES = (*SAID, "*.safetensors", "pytorch_model*.bin")
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class ModelSource:
    """A model's folder, and the LoRA adapter's where there is one, with the SHA-256 of every file that matters."""

    folder: Path
    files: dict[str, str]
    weights: dict[str, str]
    """The files that pin the model: its weights, or the script that makes them."""
    adapter: Path | None
    adapter_files: dict[str, str]


def locate(spec: PipelineSpec, made: Path | None = None) -> ModelSource:
    """Find the source that a spec names and read its hashes; SmithError says what is missing and what to do.

    ``made`` is the folder that the spec's script has filled, where it has one.
    """
    folder, where = _folder(spec, made), f"{spec.file}: source"
    names = _graph_files(spec, folder) if spec.source.onnx else ()
    files = _hashes(folder, *(SAID if names else MODEL_FILES), *map(glob.escape, names), where=where)
    if not names:
        _check_folder(folder, files, where)
    weights = {name: digest for name, digest in files.items() if name in names or (not names and name.endswith(WEIGHTS))}
    _check_pinned(spec, weights)
    if spec.source.script:
        weights = {spec.source.script.name: sha256(spec.beside(spec.source.script))}
    return ModelSource(folder, files, weights, *_adapter(spec, folder, files))


def _adapter(spec: PipelineSpec, folder: Path, files: dict[str, str]) -> tuple[Path | None, dict[str, str]]:
    source = spec.source
    adapter = spec.beside(source.adapter) if source.adapter else None
    where = f"{spec.file}: source.adapter"
    adapter_files = _hashes(adapter, *MODEL_FILES, where=where) if adapter and adapter.is_dir() else {}
    if adapter and "adapter_model.safetensors" not in adapter_files:
        fix = f"run: tritonsmith finetune {spec.name} --train FILE --dev FILE"
        raise SmithError(f"{adapter} holds no adapter_model.safetensors", where=where, fix=fix)
    for part, names in ((folder, files), (adapter, adapter_files)):
        if part:
            _check_headers(part, names)
    return adapter, adapter_files


def _folder(spec: PipelineSpec, made: Path | None) -> Path:
    source = spec.source
    if source.script:
        if made is None:
            fix = "build it, or give the model's folder as source.path"
            raise SmithError("the model is made by a script, in a build alone", where=f"{spec.file}: source.script", fix=fix)
        return made
    if source.package:
        return _package_folder(spec)
    if source.hub:
        return _from_hub(spec, *((*SAID, glob.escape(source.onnx)) if source.onnx else MODEL_FILES))
    assert source.path is not None
    return spec.beside(source.path)


def _graph_files(spec: PipelineSpec, folder: Path) -> tuple[str, ...]:
    """The ONNX file and those beside it that hold its weights, as paths in ``folder``."""
    from tritonsmith_build.stages.external import external_files

    assert spec.source.onnx is not None
    graph, where = folder / spec.source.onnx, f"{spec.file}: source.onnx"
    if not graph.is_file():
        there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx"))
        fix = f"there are {', '.join(there)}" if there else "correct source.onnx, or leave it out where there are weights"
        raise SmithError(f"{folder} holds no {spec.source.onnx}", where=where, fix=fix)
    beside = [(graph.parent / name).relative_to(folder).as_posix() for name in external_files(graph)]
    if spec.source.hub and beside:
        _from_hub(spec, *map(glob.escape, beside))
    if lacking := [name for name in beside if not (folder / name).is_file()]:
        what = f"{spec.source.onnx} keeps weights in {lacking[0]}, which is not there"
        raise SmithError(what, where=where, fix="copy it beside the graph, under this name")
    return spec.source.onnx, *beside


def _package_folder(spec: PipelineSpec) -> Path:
    package = spec.source.package
    assert package is not None
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        fix = f"run: pip install {package.replace('_', '-')}"
        raise SmithError(f"the package {package} is not installed", where=f"{spec.file}: source.package", fix=fix)
    return Path(next(iter(found.submodule_search_locations))) / spec.source.folder


def _from_hub(spec: PipelineSpec, *patterns: str) -> Path:
    from huggingface_hub import snapshot_download

    source = spec.source
    assert source.hub is not None
    try:
        return Path(snapshot_download(source.hub, revision=source.revision, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's client has a dozen: no network, no such model, gated, no such revision
        reason = str(error).strip().splitlines()[0]
        fix = "check the name, the revision, the network and HF_TOKEN, or download it and use source.path"
        raise SmithError(
            f"cannot get {source.hub}@{source.revision}: {reason}", where=f"{spec.file}: source.hub", fix=fix
        ) from None


def _hashes(folder: Path, *patterns: str, where: str) -> dict[str, str]:
    if not folder.is_dir():
        raise SmithError(f"no such folder: {folder}", where=where, fix="correct it; a path is taken from the spec's folder")
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): sha256(path) for path in found}


def _check_folder(folder: Path, files: dict[str, str], where: str) -> None:
    for needed, names in (("config.json", {"config.json"}), ("model.safetensors", {n for n in files if n.endswith(WEIGHTS)})):
        if not names & files.keys():
            fix = "give a folder that save_pretrained wrote"
            raise SmithError(f"{folder} holds no {needed}", where=where, fix=fix)


def _check_pinned(spec: PipelineSpec, weights: dict[str, str]) -> None:
    pinned = spec.source.sha256
    if pinned and pinned not in weights.values():
        (name, digest), *_ = weights.items()
        fix = "use the pinned model, or pin this one after checking where it came from"
        raise SmithError(f"{name} has SHA-256 {digest}, the spec pins {pinned}", where=f"{spec.file}: source.sha256", fix=fix)


def _check_headers(folder: Path, names: dict[str, str]) -> None:
    """Refuse a cut or scrambled safetensors file before anything heavy is imported: opening one checks header and size."""
    for path in (folder / name for name in names if name.endswith(".safetensors")):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise SmithError(f"cannot be read as safetensors ({error})", where=path, fix="copy or download it again") from None
