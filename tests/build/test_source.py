"""Where a model is looked for, and what is said when it is not there or not what was pinned."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.source import locate
from workbench import write_spec


@pytest.fixture
def folder(sample: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder with a model that a test may damage."""
    shutil.copytree(sample("bert-2"), tmp_path / "model")
    return tmp_path


def error_of(folder: Path, **source: Any) -> str:
    """What is said about a source that cannot be used."""
    with pytest.raises(SmithError) as caught:
        locate(write_spec(folder, source=source or {"path": "model"}))
    return str(caught.value)


def digest_of(file: Path) -> str:
    """Its SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_folder_is_found_beside_the_spec_with_its_hashes(folder: Path) -> None:
    source = locate(write_spec(folder))
    assert source.folder == folder / "model"
    assert source.weights == {"model.safetensors": digest_of(folder / "model" / "model.safetensors")}
    assert source.files["tokenizer.json"] == digest_of(folder / "model" / "tokenizer.json")
    assert (source.adapter, source.adapter_files) == (None, {})


def test_an_adapter_is_found_beside_the_spec_with_its_hashes(folder: Path) -> None:
    (folder / "adapter").mkdir()
    shutil.copy(folder / "model" / "model.safetensors", folder / "adapter" / "adapter_model.safetensors")
    source = locate(write_spec(folder, source={"path": "model", "adapter": "adapter"}))
    assert source.adapter == folder / "adapter"
    assert source.adapter_files == {"adapter_model.safetensors": digest_of(folder / "model" / "model.safetensors")}


def test_a_package_that_carries_a_model_is_found_without_being_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "site" / "carries_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.copytree(folder / "model", package / "inner")
    monkeypatch.syspath_prepend(folder / "site")
    importlib.invalidate_caches()
    source = locate(write_spec(folder, source={"package": "carries_weights", "folder": "inner"}))
    assert source.folder == package / "inner"
    assert "carries_weights" not in sys.modules


def test_the_hub_is_asked_for_the_pinned_revision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        return str(folder / "model")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    source = locate(write_spec(folder, source={"hub": "org/model", "revision": "8c1f9ab"}))
    assert asked == [("org/model", "8c1f9ab")]
    assert source.folder == folder / "model"


def test_a_hub_that_does_not_answer_is_named_with_what_to_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise ConnectionError("no route\nmore of it")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert error_of(folder, hub="org/model", revision="8c1f9ab") == (
        f"{folder}/moods.toml: source.hub: cannot get org/model@8c1f9ab: no route; "
        "check the name, the revision, the network and HF_TOKEN, or download it and use source.path"
    )


@pytest.mark.parametrize("package", ["no_such_model", "no_such.model"])
def test_a_package_that_is_not_installed_is_answered_with_the_command(folder: Path, package: str) -> None:
    assert error_of(folder, package=package) == (
        f"{folder}/moods.toml: source.package: the package {package} is not installed; "
        f"run: pip install {package.replace('_', '-')}"
    )


def test_a_missing_folder_is_named(folder: Path) -> None:
    assert error_of(folder, path="modle") == (
        f"{folder}/moods.toml: source: no such folder: {folder}/modle; correct it; a path is taken from the spec's folder"
    )


@pytest.mark.parametrize(("lost", "named"), [("config.json", "config.json"), ("model.safetensors", "model.safetensors")])
def test_a_folder_without_configuration_or_weights_is_no_model(folder: Path, lost: str, named: str) -> None:
    (folder / "model" / lost).unlink()
    assert error_of(folder) == (
        f"{folder}/moods.toml: source: {folder}/model holds no {named}; give a folder that save_pretrained wrote"
    )


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: bytes(byte ^ 0x5A for byte in data[:64]) + data[64:], lambda data: b""],
    ids=["truncated", "scrambled", "empty"],
)
@pytest.mark.parametrize("part", ["model/model.safetensors", "adapter/adapter_model.safetensors"], ids=["model", "adapter"])
def test_a_damaged_weights_file_is_named_before_anything_is_computed(
    folder: Path, part: str, damage: Callable[[bytes], bytes]
) -> None:
    (folder / "adapter").mkdir()
    shutil.copy(folder / "model" / "model.safetensors", folder / "adapter" / "adapter_model.safetensors")
    (folder / part).write_bytes(damage((folder / part).read_bytes()))
    said = error_of(folder, path="model", adapter="adapter")
    assert said.startswith(f"{folder / part}: cannot be read as safetensors (")
    assert said.endswith("); copy or download it again")


def test_the_pinned_hash_lets_its_own_weights_pass(folder: Path) -> None:
    pinned = digest_of(folder / "model" / "model.safetensors")
    assert pinned in locate(write_spec(folder, source={"path": "model", "sha256": pinned})).weights.values()


def test_weights_other_than_the_pinned_are_refused_with_both_hashes(folder: Path) -> None:
    found, pinned = digest_of(folder / "model" / "model.safetensors"), "0" * 64
    assert error_of(folder, path="model", sha256=pinned) == (
        f"{folder}/moods.toml: source.sha256: model.safetensors has SHA-256 {found}, the spec pins {pinned}; "
        "use the pinned model, or pin this one after checking where it came from"
    )


@pytest.mark.parametrize(
    "there",
    [
        "an empty folder",
        "nothing",
    ],
)
def test_an_adapter_not_made_yet_is_answered_with_the_command_that_makes_it(folder: Path, there: str) -> None:
    if there == "an empty folder":
        (folder / "adapter").mkdir()
    said = error_of(folder, path="model", adapter="adapter")
    assert said.startswith(f"{folder}/moods.toml: source.adapter: ")
    assert f"{folder}/adapter" in said
    assert said.endswith("; run: tritonsmith finetune moods --train FILE --dev FILE")
